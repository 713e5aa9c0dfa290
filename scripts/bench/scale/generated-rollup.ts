/** Rollups of a synthetic log that are written from the generator, for logs whose records would take too long. */
import { hexToBytes, utf8 } from "../../../src/core/base/bytes.ts";
import { hashObject } from "../../../src/core/base/hash.ts";
import { epochOf, type Position } from "../../../src/core/base/ids.ts";
import type { RollupRef } from "../../../src/core/codec/head.ts";
import { rollupSpan } from "../../../src/core/codec/rollup.ts";
import { FINGERPRINT_BYTES, fingerprintOf, touchedKind } from "../../../src/core/codec/rollup-touched.ts";
import { IdsCursor } from "../../../src/core/forge/rollup/cursors.ts";
import type { EntryCursor } from "../../../src/core/forge/rollup/merge.ts";
import { writeRollup } from "../../../src/core/forge/rollup/write.ts";
import { rollupKey } from "../../../src/core/objects/keys.ts";
import type { ObjectStore } from "../../../src/core/store/object-store.ts";
import { FILES, landingAt, PROJECT, type SyntheticLanding, touchedPath } from "./synthetic-log.ts";

/** Positions of a rollup that is written so are below this. */
const POSITIONS_MAX = 2 ** 20;

/** All files in the order of their tree keys, with the keys side by side. */
interface FileOrder {
  readonly rankOf: Uint32Array;
  readonly fileAt: Uint32Array;
  readonly keys: Uint8Array;
  readonly keyEnds: Uint32Array;
}

let fileOrder: FileOrder | undefined;

function orderOfFiles(): FileOrder {
  if (fileOrder !== undefined) return fileOrder;
  const paths = Array.from({ length: FILES }, (_, file) => touchedPath(file).replaceAll("/", "\0"));
  const fileAt = new Uint32Array(FILES);
  const sorted = Array.from({ length: FILES }, (_, file) => file);
  sorted.sort((a, b) => (paths[a]! < paths[b]! ? -1 : 1));
  const rankOf = new Uint32Array(FILES);
  const keyEnds = new Uint32Array(FILES);
  let end = 0;
  for (const [rank, file] of sorted.entries()) {
    fileAt[rank] = file;
    rankOf[file] = rank;
    keyEnds[rank] = end += paths[file]!.length;
  }
  const keys = Buffer.alloc(end);
  for (const [rank, file] of sorted.entries())
    keys.write(paths[file]!, rank === 0 ? 0 : keyEnds[rank - 1]!, "latin1");
  fileOrder = { rankOf, fileAt, keys, keyEnds };
  return fileOrder;
}

/** What the landings of a stretch touched, in columns. */
class GeneratedCursor implements EntryCursor {
  readonly key: Uint8Array;
  keyStart = 0;
  keyEnd = 0;
  position = 0;
  readonly kind = touchedKind("file");
  readonly fingerprints: Uint8Array;
  fingerprintAt = 0;
  readonly #order = orderOfFiles();
  /** Rank of the file · 2^20 + position, sorted. */
  readonly #sorted: Float64Array;
  readonly #files: Uint32Array;
  /** Of the landing at each position, in `#files`. */
  readonly #starts: Uint32Array;
  #at = -1;

  constructor(landings: readonly SyntheticLanding[]) {
    const count = landings.reduce((sum, { files }) => sum + files.length, 0);
    const { rankOf, keys } = this.#order;
    this.key = keys;
    this.fingerprints = new Uint8Array(count * FINGERPRINT_BYTES);
    this.#sorted = new Float64Array(count);
    this.#files = new Uint32Array(count);
    this.#starts = new Uint32Array(landings.length);
    let next = 0;
    for (const [position, { files, entries }] of landings.entries()) {
      this.#starts[position] = next;
      for (const [i, file] of files.entries()) {
        this.fingerprints.set(fingerprintOf(entries[i]!.id), next * FINGERPRINT_BYTES);
        this.#sorted[next] = rankOf[file]! * POSITIONS_MAX + position;
        this.#files[next++] = file;
      }
    }
    this.#sorted.sort();
  }

  advance(): boolean {
    const value = this.#sorted[++this.#at];
    if (value === undefined) return false;
    const rank = Math.floor(value / POSITIONS_MAX);
    const { fileAt, keyEnds } = this.#order;
    this.position = value % POSITIONS_MAX;
    this.keyStart = rank === 0 ? 0 : keyEnds[rank - 1]!;
    this.keyEnd = keyEnds[rank]!;
    let entry = this.#starts[this.position]!;
    while (this.#files[entry] !== fileAt[rank]) entry++;
    this.fingerprintAt = entry * FINGERPRINT_BYTES;
    return true;
  }

  async load(): Promise<boolean> {
    return this.#at < 0 && this.advance();
  }
}

/** One rollup, stored with its front. Its digest is that of nothing: no record is behind it. */
export async function writeGenerated(store: ObjectStore, level: number, first: Position): Promise<RollupRef> {
  const epoch = epochOf(await store.nowMs());
  const landings = Array.from({ length: rollupSpan(level) }, (_, i) => landingAt(first + i));
  const digest = hashObject(utf8(`${level}/${first}`));
  const sources = {
    digest,
    touched: [new GeneratedCursor(landings)],
    landings: [ids(landings.map(({ landingId }, position) => ({ hex: landingId, position })))],
    sessions: [ids(landings.map(({ session }, position) => ({ hex: session, position })))],
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
