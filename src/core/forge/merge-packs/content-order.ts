/**
 * In which order content stands in a merged pack: by path and then by position, so that versions of a file share
 * frames. Which path a blob has is said by the operations of the run's landings. The newest version of each path
 * is told apart from those before it.
 */
import { hexToBytes } from "../../base/bytes.ts";
import { comparePaths, type TreePath } from "../../base/path.ts";
import { decodeChunkList } from "../../codec/chunk-list.ts";
import { decodeLandingRecord, type LandingRecord } from "../../codec/landing-record.ts";
import { decodeOperations, type StoredOperation } from "../../codec/operations.ts";
import type { Pace } from "./pace.ts";
import type { RunReader } from "./run-reader.ts";

/** Objects by number (run-reader.ts). */
export interface ContentOrder {
  /** Of the newest version of each path, by path. */
  readonly newest: readonly number[];
  /** By path, then position. What no operation of the run names comes last. */
  readonly older: readonly number[];
  readonly chunkLists: readonly number[];
  /** In file order, those of newest versions first. */
  readonly chunks: readonly number[];
}

const NO_PATH = -1;
/** Above every rank of a path. */
const RANK_LAST = 2 ** 26 - 1;
const ORDINAL_FACTOR = 2 ** 26;

export async function orderContent(run: RunReader, pace: Pace): Promise<ContentOrder> {
  const paths = new PathsOfContent(run);
  for (const { content } of run.records()) {
    const record = decodeLandingRecord(content);
    for (const operations of operationsOf(run, record)) paths.add(operations);
    await pace.step();
  }
  const { ranks, isNewest, ordinals } = paths.finish();

  const ofKind: Record<"blob" | "chunk-list", number[]> = { blob: [], "chunk-list": [] };
  for (let object = 0; object < run.count; object++) {
    const kind = run.kindOf(object);
    if (kind === "blob" || kind === "chunk-list") ofKind[kind].push(object);
  }
  const byPath = (objects: readonly number[]): number[] => sortBy(objects, ranks, ordinals);
  const lists = ofKind["chunk-list"];
  const chunkLists = [
    ...byPath(lists.filter((object) => isNewest[object] === 1)),
    ...byPath(lists.filter((object) => isNewest[object] === 0)),
  ];
  const chunks = new Set<number>();
  for (const list of chunkLists) {
    const { content, sidecar } = run.read(list);
    for (const { id } of decodeChunkList(content, sidecar).chunks) {
      const chunk = run.find(hexToBytes(id));
      // A small file may be equal to a chunk: it stands with the files then.
      if (chunk !== -1 && ranks[chunk] === RANK_LAST) chunks.add(chunk);
    }
    await pace.step();
  }
  const blobs = ofKind.blob.filter((object) => !chunks.has(object));
  return {
    newest: byPath(blobs.filter((object) => isNewest[object] === 1)),
    older: byPath(blobs.filter((object) => isNewest[object] === 0)),
    chunkLists,
    chunks: [...chunks],
  };
}

function* operationsOf(
  run: RunReader,
  record: LandingRecord,
): Generator<readonly StoredOperation[], void, undefined> {
  const { operations, position } = record;
  if (operations.kind === "inline") {
    yield decodeOperations(operations.bytes, position);
    return;
  }
  for (const { id } of operations.segments) {
    const segment = run.find(hexToBytes(id));
    if (segment !== -1) yield decodeOperations(run.read(segment).content, position);
  }
}

/** Takes operations in the order of the log. */
class PathsOfContent {
  readonly #run: RunReader;
  readonly #numbers = new Map<TreePath, number>();
  readonly #paths: TreePath[] = [];
  /** By path: the content that it has after the operations so far, if that is of the run. */
  readonly #newest: number[] = [];
  /** By object: the path under which it came. */
  readonly #pathOf: Int32Array;
  readonly #ordinals: Uint32Array;
  #ordinal = 0;

  constructor(run: RunReader) {
    this.#run = run;
    this.#pathOf = new Int32Array(run.count).fill(NO_PATH);
    this.#ordinals = new Uint32Array(run.count);
  }

  add(operations: readonly StoredOperation[]): void {
    for (const operation of operations) {
      const path = this.#numberOf(operation.path);
      if (operation.kind === "delete") {
        this.#newest[path] = -1;
        continue;
      }
      const object = this.#run.find(hexToBytes(operation.entry.chunks ?? operation.entry.id));
      this.#newest[path] = object;
      if (object === -1 || this.#pathOf[object] !== NO_PATH) continue;
      this.#pathOf[object] = path;
      this.#ordinals[object] = ++this.#ordinal;
    }
  }

  /** By object: the rank of its path, whether it is the newest version of one, and its place among versions. */
  finish(): { ranks: Uint32Array; isNewest: Uint8Array; ordinals: Uint32Array } {
    const count = this.#run.count;
    const isNewest = new Uint8Array(count);
    const ranks = new Uint32Array(count).fill(RANK_LAST);
    const sorted = this.#paths.map((_, path) => path);
    sorted.sort((a, b) => comparePaths(this.#paths[a]!, this.#paths[b]!));
    const rankOf = new Uint32Array(sorted.length);
    for (const [rank, path] of sorted.entries()) rankOf[path] = Math.min(rank, RANK_LAST - 1);
    for (const path of sorted) {
      const object = this.#newest[path]!;
      if (object === -1 || isNewest[object] === 1) continue;
      isNewest[object] = 1;
      ranks[object] = rankOf[path]!;
    }
    for (let object = 0; object < count; object++) {
      const path = this.#pathOf[object]!;
      if (path !== NO_PATH && isNewest[object] === 0) ranks[object] = rankOf[path]!;
    }
    return { ranks, isNewest, ordinals: this.#ordinals };
  }

  #numberOf(path: TreePath): number {
    const known = this.#numbers.get(path);
    if (known !== undefined) return known;
    const number = this.#paths.push(path) - 1;
    this.#numbers.set(path, number);
    return number;
  }
}

/** By rank, then ordinal, then number: numbers sort natively, without a callback. */
function sortBy(objects: readonly number[], ranks: Uint32Array, ordinals: Uint32Array): number[] {
  const keys = new Float64Array(objects.length);
  const sameKey = new Map<number, number[]>();
  for (const [i, object] of objects.entries()) {
    const key = ranks[object]! * ORDINAL_FACTOR + ordinals[object]!;
    keys[i] = key;
    const same = sameKey.get(key);
    if (same === undefined) sameKey.set(key, [object]);
    else same.push(object);
  }
  const sorted: number[] = [];
  let previous = Number.NaN;
  for (const key of keys.sort()) {
    if (key !== previous) sorted.push(...sameKey.get(key)!);
    previous = key;
  }
  return sorted;
}
