/**
 * Copies what never changes: packs, loose objects, pages, rollups. Each is checked against its name before it is
 * written, and read back after it; what is there already is read and checked instead.
 */
import { equalBytes, releaseBytes } from "../../base/bytes.ts";
import { throwIfAborted } from "../../base/clock.ts";
import { isMicError, MicError } from "../../base/errors.ts";
import { verifyObject } from "../../base/hash.ts";
import type { ObjectId, ProjectId } from "../../base/ids.ts";
import { decodeLooseObject } from "../../codec/loose-object.ts";
import { projectPrefix } from "../../objects/keys.ts";
import { parseStoredKey, type StoredKey, type StoredKind } from "../../objects/stored-key.ts";
import type { ListedObject, ObjectStore } from "../../store/object-store.ts";
import type { CallOptions } from "../forge.ts";
import { listAll } from "../storage-stat.ts";

export interface MoveContext {
  readonly source: ObjectStore;
  readonly target: ObjectStore;
  readonly options: CallOptions;
  readonly counts: MoveCounts;
  readonly onProgress: () => void;
}

export interface MoveCounts {
  /** Objects that are in the target now and were checked there. */
  objects: number;
  bytes: number;
  /** Of them, those that this run wrote. */
  copied: number;
  bytesCopied: number;
}

/** Uploads that nobody verified yet, and what the collector and repairs keep for themselves, stay behind. */
const NAMED_BY_HASH: ReadonlySet<StoredKind> = new Set(["pack", "blob", "page", "rollup", "part"]);
/** Objects under way at once, and their bytes; one larger object goes alone. */
const TOGETHER_MAX = 16;
const BYTES_TOGETHER_MAX = 64 << 20;

/** Errors: `corrupt` for damage in the source (nothing of it is written), or in what the target gives back. */
export async function copyObjects(
  context: MoveContext,
  project: ProjectId,
  done: Set<string>,
): Promise<void> {
  const { source, target, options } = context;
  const prefix = projectPrefix(project);
  const running = new Set<Promise<void>>();
  let bytes = 0;
  let failure: unknown;
  for await (const { key, size, targetSize } of joinedListing(source, target, prefix, options)) {
    const stored = parseStoredKey(project, key);
    if (!NAMED_BY_HASH.has(stored.kind) || done.has(key)) continue;
    while (running.size >= TOGETHER_MAX || (running.size > 0 && bytes + size > BYTES_TOGETHER_MAX)) {
      await Promise.race(running);
    }
    if (failure !== undefined) break;
    throwIfAborted(options.signal);
    bytes += size;
    const task = copyObject(context, key, stored, size, targetSize)
      .then(
        (isThere) => {
          if (isThere) done.add(key);
        },
        (error: unknown) => {
          failure ??= error;
        },
      )
      .finally(() => {
        bytes -= size;
        running.delete(task);
      });
    running.add(task);
  }
  await Promise.all(running);
  if (failure !== undefined) throw failure;
}

/** One object by its key, e.g. one that a listing did not show yet. */
export async function copyNamedObject(
  context: MoveContext,
  project: ProjectId,
  key: string,
): Promise<boolean> {
  return await copyObject(context, key, parseStoredKey(project, key), 0, undefined);
}

/** False when the source does not have it any more. */
async function copyObject(
  { source, target, options, counts, onProgress }: MoveContext,
  key: string,
  stored: StoredKey,
  size: number,
  targetSize: number | undefined,
): Promise<boolean> {
  const isThere = targetSize === size && (await isIntact(target, key, stored, size, options));
  let length = size;
  if (!isThere) {
    const found = await source.get(key, { fresh: true, ...options });
    if (found === undefined) return false;
    const { bytes } = found;
    length = bytes.length;
    checkContent(key, stored, bytes, source.description);
    await target.put(key, bytes, options);
    const copy = await target.get(key, { fresh: true, ...options });
    if (copy === undefined || !equalBytes(copy.bytes, bytes)) {
      throw new MicError("corrupt", `${target.description} does not give back what was written to ${key}`, {
        hint: "check the store, and run the command again",
        data: { object: key },
      });
    }
    releaseBytes(copy.bytes);
    releaseBytes(bytes);
    counts.copied++;
    counts.bytesCopied += length;
  }
  counts.objects++;
  counts.bytes += length;
  onProgress();
  return true;
}

/** An earlier run wrote it. What is damaged is written again. */
async function isIntact(
  target: ObjectStore,
  key: string,
  stored: StoredKey,
  size: number,
  options: CallOptions,
): Promise<boolean> {
  const found = await target.get(key, { fresh: true, ...options });
  if (found === undefined || found.bytes.length !== size) return false;
  try {
    checkContent(key, stored, found.bytes, target.description);
    releaseBytes(found.bytes);
    return true;
  } catch (error) {
    if (!isMicError(error, "corrupt")) throw error;
    return false;
  }
}

function checkContent(key: string, { kind, id }: StoredKey, bytes: Uint8Array, where: string): void {
  try {
    if (kind === "blob") decodeLooseObject(bytes, id as ObjectId);
    else verifyObject(id as ObjectId, bytes, key);
  } catch (error) {
    if (!isMicError(error, "corrupt")) throw error;
    throw new MicError("corrupt", `${key} in ${where} is damaged`, {
      hint: "run `mic fsck --repair` on the project there first",
      cause: error,
      data: { object: key },
    });
  }
}

/** The source's objects, each with the size that the target has under the same key. */
async function* joinedListing(
  source: ObjectStore,
  target: ObjectStore,
  prefix: string,
  options: CallOptions,
): AsyncIterable<ListedObject & { readonly targetSize: number | undefined }> {
  const there = flatten(listAll(target, prefix, options))[Symbol.asyncIterator]();
  let next = await there.next();
  for await (const objects of listAll(source, prefix, options)) {
    for (const object of objects) {
      while (next.done !== true && next.value.key < object.key) next = await there.next();
      const isSame = next.done !== true && next.value.key === object.key;
      yield { ...object, targetSize: isSame ? next.value.size : undefined };
    }
  }
}

async function* flatten<Item>(pages: AsyncIterable<readonly Item[]>): AsyncIterable<Item> {
  for await (const page of pages) yield* page;
}
