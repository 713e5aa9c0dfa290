/**
 * A bounded directory of segments that several processes share. Nothing here ever fails its caller: a directory that
 * cannot be written or is full is left alone for a while, and said once.
 *
 *   {directory}/v1/{first digit of the id}/{id}
 *
 * A file's modification time is when it was last used, to the hour. Each process notes what it has written; when that
 * is much it looks through one group of files and removes those that were not used for longest.
 */
import { mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { bytesToHex } from "../../base/bytes.ts";
import type { Clock } from "../../base/clock.ts";
import { type Random, randomFraction } from "../../base/random.ts";
import { type FoundBlocks, readBlocks, SEGMENT_VERSION, writeBlocks } from "./segment-file.ts";

const SHARDS = "0123456789abcdef";
/** Below that, all shards are looked through as one: each alone would hold too few files to choose from. */
const GROUP_BYTES_MIN = 32 << 20;
/** Of the bound: beyond it files are removed. The rest is for what other processes have written since. */
const FULL = 0.85;
/** Of the bound: what is left after files were removed. */
const KEPT = 0.7;
/** Of the bound: how much a process writes before it looks again. */
const LOOK_AFTER = 1 / 16;
/** How often a process looks at a group that it writes into for the first time: most processes are short. */
const FIRST_LOOK_CHANCE = 1 / 16;
const TOUCH_AFTER_MS = 3_600_000;
const TOUCHED_MAX = 65_536;
/** After the directory could not be written. */
const PAUSE_MS = 300_000;
const STAT_WIDTH = 32;

export interface SegmentFilesOptions {
  readonly directory: string;
  readonly bytesMax: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Told once when the cache cannot be used. */
  readonly warn: (message: string) => void;
}

interface Group {
  readonly shards: readonly string[];
  readonly bytesMax: number;
  /** On disk when it was last looked at; undefined before. */
  heldBytes: number | undefined;
  /** By this process since. */
  writtenBytes: number;
  looking: Promise<void> | undefined;
}

export class SegmentFiles {
  readonly #options: SegmentFilesOptions;
  readonly #root: string;
  readonly #groups = new Map<string, Group>();
  readonly #made = new Set<string>();
  /** When this process last used a segment. */
  readonly #touched = new Map<string, number>();
  #pausedUntilMs = 0;
  #warned = false;

  constructor(options: SegmentFilesOptions) {
    this.#options = options;
    this.#root = join(options.directory, `v${SEGMENT_VERSION}`);
    const perShard = options.bytesMax / SHARDS.length;
    const shards = [...SHARDS];
    const groups =
      perShard < GROUP_BYTES_MIN
        ? [{ shards, bytesMax: options.bytesMax }]
        : shards.map((shard) => ({ shards: [shard], bytesMax: perShard }));
    for (const group of groups) {
      const state: Group = { ...group, heldBytes: undefined, writtenBytes: 0, looking: undefined };
      for (const shard of group.shards) this.#groups.set(shard, state);
    }
  }

  /** False while the directory is left alone after an error. */
  get isWritable(): boolean {
    return this.#options.clock.nowMs() >= this.#pausedUntilMs;
  }

  /** On disk, as far as this process has looked: undefined before it has looked everywhere. */
  get heldBytes(): number | undefined {
    let sum = 0;
    for (const { heldBytes, writtenBytes } of new Set(this.#groups.values())) {
      if (heldBytes === undefined) return undefined;
      sum += heldBytes + writtenBytes;
    }
    return sum;
  }

  /** `undefined` when there is no such segment, or it cannot be read. */
  async read(id: Uint8Array, first: number, end: number): Promise<FoundBlocks | undefined> {
    const name = bytesToHex(id);
    try {
      const file = await open(this.#path(name), "r");
      try {
        const found = await readBlocks(file, id, first, end);
        const nowMs = this.#options.clock.nowMs();
        if (this.#isToTouch(name, nowMs)) await file.utimes(nowMs / 1000, nowMs / 1000);
        return found;
      } finally {
        await file.close();
      }
    } catch (error) {
      this.#onError(error, "read");
      return undefined;
    }
  }

  /** Whether it was written. */
  async write(id: Uint8Array, first: number, bytes: Uint8Array, isEnd: boolean): Promise<boolean> {
    if (!this.isWritable) return false;
    const name = bytesToHex(id);
    const shard = name[0]!;
    const path = this.#path(name);
    try {
      await this.#makeShard(shard);
      try {
        await writeBlocks(path, id, first, bytes, isEnd);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
        // Somebody removed the whole cache.
        this.#made.delete(shard);
        await this.#makeShard(shard);
        await writeBlocks(path, id, first, bytes, isEnd);
      }
      this.#noteTouch(name, this.#options.clock.nowMs());
      await this.#wrote(this.#groups.get(shard)!, bytes.length);
      return true;
    } catch (error) {
      this.#onError(error, "write");
      return false;
    }
  }

  async remove(id: Uint8Array): Promise<void> {
    try {
      await rm(this.#path(bytesToHex(id)));
    } catch (error) {
      this.#onError(error, "write");
    }
  }

  #path(name: string): string {
    return join(this.#root, name[0]!, name);
  }

  async #makeShard(shard: string): Promise<void> {
    if (this.#made.has(shard)) return;
    await mkdir(join(this.#root, shard), { recursive: true, mode: 0o700 });
    this.#made.add(shard);
  }

  #isToTouch(name: string, nowMs: number): boolean {
    const last = this.#touched.get(name);
    if (last !== undefined && Math.abs(nowMs - last) < TOUCH_AFTER_MS) return false;
    this.#noteTouch(name, nowMs);
    return this.isWritable;
  }

  #noteTouch(name: string, nowMs: number): void {
    if (this.#touched.size >= TOUCHED_MAX) this.#touched.clear();
    this.#touched.set(name, nowMs);
  }

  #onError(error: unknown, what: "read" | "write"): void {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return;
    this.#pausedUntilMs = this.#options.clock.nowMs() + PAUSE_MS;
    if (this.#warned) return;
    this.#warned = true;
    this.#options.warn(
      `the cache in ${this.#options.directory} cannot be ${what === "read" ? "read" : "written"} (${code ?? message}): going on without`,
    );
  }

  async #wrote(group: Group, bytes: number): Promise<void> {
    const isFirst = group.heldBytes === undefined && group.writtenBytes === 0;
    group.writtenBytes += bytes;
    const { heldBytes, writtenBytes, bytesMax } = group;
    const isDue =
      writtenBytes >= bytesMax * LOOK_AFTER ||
      (heldBytes !== undefined && heldBytes + writtenBytes > bytesMax * FULL) ||
      (isFirst && randomFraction(this.#options.random) < FIRST_LOOK_CHANCE);
    if (!isDue) return;
    group.looking ??= this.#makeRoom(group).finally(() => {
      group.looking = undefined;
    });
    await group.looking;
  }

  async #makeRoom(group: Group): Promise<void> {
    group.writtenBytes = 0;
    const files: SegmentOnDisk[] = [];
    for (const shard of group.shards) await listShard(join(this.#root, shard), files);
    let held = files.reduce((sum, file) => sum + file.bytes, 0);
    if (held > group.bytesMax * FULL) {
      files.sort((a, b) => a.usedAtMs - b.usedAtMs);
      for (const { path, bytes } of files) {
        if (held <= group.bytesMax * KEPT) break;
        await rm(path, { force: true });
        held -= bytes;
      }
    }
    group.heldBytes = held;
  }
}

interface SegmentOnDisk {
  readonly path: string;
  /** On disk: a segment with few blocks is a file with holes. */
  readonly bytes: number;
  readonly usedAtMs: number;
}

async function listShard(directory: string, files: SegmentOnDisk[]): Promise<void> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  for (let from = 0; from < names.length; from += STAT_WIDTH) {
    const paths = names.slice(from, from + STAT_WIDTH).map((name) => join(directory, name));
    const found = await Promise.allSettled(paths.map((path) => stat(path)));
    for (const [i, result] of found.entries()) {
      // Another process removed it in the meantime.
      if (result.status === "rejected") continue;
      const { blocks, size, mtimeMs } = result.value;
      files.push({ path: paths[i]!, bytes: blocks > 0 ? blocks * 512 : size, usedAtMs: mtimeMs });
    }
  }
}
