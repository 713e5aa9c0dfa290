/** Rollups of a synthetic log that are written from the generator, for logs whose records would take too long. */
import { hexToBytes, utf8 } from "../../../src/core/base/bytes.ts";
import { hashObject } from "../../../src/core/base/hash.ts";
import { epochOf, type Position } from "../../../src/core/base/ids.ts";
import { pathToKey } from "../../../src/core/base/path.ts";
import type { RollupRef } from "../../../src/core/codec/head.ts";
import { rollupSpan } from "../../../src/core/codec/rollup.ts";
import { fingerprintOf, touchedKind } from "../../../src/core/codec/rollup-touched.ts";
import { IdsCursor } from "../../../src/core/forge/rollup/cursors.ts";
import type { EntryCursor } from "../../../src/core/forge/rollup/merge.ts";
import { writeRollup } from "../../../src/core/forge/rollup/write.ts";
import { rollupKey } from "../../../src/core/objects/keys.ts";
import type { ObjectStore } from "../../../src/core/store/object-store.ts";
import { FILES, landingAt, PROJECT, touchedPath } from "./synthetic-log.ts";

/** File numbers in the order of their tree keys. */
let fileOrder: Uint32Array | undefined;

function orderOfFiles(): Uint32Array {
  if (fileOrder !== undefined) return fileOrder;
  const paths = Array.from({ length: FILES }, (_, file) => touchedPath(file).replaceAll("/", "\0"));
  const sorted = Array.from({ length: FILES }, (_, file) => file).sort((a, b) =>
    paths[a]! < paths[b]! ? -1 : 1,
  );
  fileOrder = new Uint32Array(FILES);
  for (const [rank, file] of sorted.entries()) fileOrder[file] = rank;
  return fileOrder;
}

class GeneratedCursor implements EntryCursor {
  key = new Uint8Array(0);
  readonly keyStart = 0;
  keyEnd = 0;
  position = 0;
  readonly kind = touchedKind("file");
  fingerprints = new Uint8Array(0);
  readonly fingerprintAt = 0;
  readonly #entries: readonly { readonly file: number; readonly position: number; readonly id: string }[];
  #at = -1;

  constructor(entries: readonly { readonly file: number; readonly position: number; readonly id: string }[]) {
    this.#entries = entries;
  }

  advance(): boolean {
    const entry = this.#entries[++this.#at];
    if (entry === undefined) return false;
    this.key = new Uint8Array(pathToKey(touchedPath(entry.file)));
    this.keyEnd = this.key.length;
    this.position = entry.position;
    this.fingerprints = new Uint8Array(fingerprintOf(entry.id));
    return true;
  }

  async load(): Promise<boolean> {
    return this.#at < 0 && this.advance();
  }
}

/** One rollup, stored with its front. Its digest is that of nothing: no record is behind it. */
export async function writeGenerated(store: ObjectStore, level: number, first: Position): Promise<RollupRef> {
  const epoch = epochOf(await store.nowMs());
  const order = orderOfFiles();
  const entries: { file: number; position: number; id: string }[] = [];
  const landings: { hex: string; position: number }[] = [];
  const sessions: { hex: string; position: number }[] = [];
  for (let position = 0; position < rollupSpan(level); position++) {
    const { landingId, session, files, entries: set } = landingAt(first + position);
    for (const [i, file] of files.entries()) entries.push({ file, position, id: set[i]!.id });
    landings.push({ hex: landingId, position });
    sessions.push({ hex: session, position });
  }
  entries.sort((a, b) => order[a.file]! - order[b.file]! || a.position - b.position);
  const digest = hashObject(utf8(`${level}/${first}`));
  const sources = {
    digest,
    touched: [new GeneratedCursor(entries)],
    landings: [ids(landings)],
    sessions: [ids(sessions)],
  };
  const place = { store, project: PROJECT, epoch };
  const { ref, bytes } = await writeRollup(place, { level, first }, sources);
  await store.put(rollupKey(PROJECT, epoch, level, first, ref.hash), bytes);
  return ref;
}

function ids(list: { hex: string; position: number }[]): IdsCursor {
  list.sort((a, b) => (a.hex < b.hex ? -1 : 1));
  return new IdsCursor(list.map(({ hex, position }) => ({ id: hexToBytes(hex), position })));
}
