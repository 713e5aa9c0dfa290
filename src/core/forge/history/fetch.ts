/**
 * One stream for clone, checkout, sync and goto: first every change, so that a client can refuse the whole
 * before it writes anything, then the content of what is new, in path order.
 */
import { asBuffer } from "../../base/bytes.ts";
import { OBJECT_ID_BYTES, objectIdFromBytes, type ProjectId } from "../../base/ids.ts";
import { LazyList, type List } from "../../base/list.ts";
import type { ObjectRef } from "../../objects/frame.ts";
import { IdNumbers } from "../../objects/id-numbers.ts";
import { rangesOfPaths } from "../../prolly/path-ranges.ts";
import type { ForgeContext } from "../context.ts";
import type { DiffRequest, FetchItem, FetchOptions, TreeChange } from "../forge.ts";
import { openSnapshot, requireReached } from "../log/positions.ts";
import { changesBetween } from "./changes.ts";

/**
 * Frames come as they are stored where most of a frame is wanted. Of a chunked file only the chunk list is
 * sent. Errors: `out-of-range`, `unsafe-path`, `not-found` when content is missing.
 */
export async function* fetchChanges(
  context: ForgeContext,
  project: ProjectId,
  request: DiffRequest,
  options: FetchOptions = {},
): AsyncIterable<FetchItem> {
  const ranges = rangesOfPaths(request.paths);
  const snapshot = await openSnapshot(context, project, options);
  requireReached(snapshot, request.from);
  requireReached(snapshot, request.to);
  const wanted = new WantedContent((hint) => snapshot.reader.prepare(hint));
  if (request.from !== request.to) {
    const before = await snapshot.treeAt(request.from);
    const isAll = before.isEmpty && request.paths === undefined;
    const after = isAll ? await snapshot.treeToScan(request.to) : await snapshot.treeAt(request.to);
    for await (const changes of changesBetween(before, after, ranges, options)) {
      for (const change of changes) wanted.add(change);
      yield { kind: "changes", changes };
    }
  }
  const { refs } = wanted;
  yield { kind: "content", objects: refs.length, bytes: wanted.bytes };
  const frames = snapshot.reader.frames(refs, { ...options, distinct: true });
  for await (const frame of frames) yield { kind: "frame", frame };
}

/** The packs of so many positions are opened while the changes are still being listed. */
const PREPARED_HINTS_MAX = 8;

/** Each object once, in the order of the paths that need it first. */
class WantedContent {
  readonly #ids = new IdNumbers();
  readonly #hints: number[] = [];
  readonly #prepared = new Set<number>();
  readonly #prepare: (hint: number) => void;
  /** Of the files; chunked ones count whole. */
  bytes = 0;

  constructor(prepare: (hint: number) => void) {
    this.#prepare = prepare;
  }

  add(change: TreeChange): void {
    const { before, after } = change;
    if (after === undefined || after.entry.id === before?.entry.id) return;
    scratch.write(after.entry.chunks ?? after.entry.id, 0, OBJECT_ID_BYTES, "hex");
    const known = this.#ids.count;
    if (this.#ids.add(scratch) < known) return;
    this.#hints.push(after.hint);
    this.bytes += after.entry.size;
    if (this.#prepared.size < PREPARED_HINTS_MAX && !this.#prepared.has(after.hint)) {
      this.#prepared.add(after.hint);
      this.#prepare(after.hint);
    }
  }

  get refs(): List<ObjectRef> {
    return new LazyList(this.#ids.count, (i) => ({
      id: objectIdFromBytes(this.#ids.bytesOf(i)),
      hint: this.#hints[i]!,
    }));
  }
}

const scratch = asBuffer(new Uint8Array(OBJECT_ID_BYTES));
