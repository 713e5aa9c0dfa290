/**
 * Which pack holds an object: first those that the hint names, then every index from newest to oldest. The hint
 * is advice; what is found is found by id.
 */
import { MicError } from "../base/errors.ts";
import type { ObjectId } from "../base/ids.ts";
import { MissingPackError, type OpenPack, type PackCache, WHOLE_PACK_BYTES_MAX } from "./pack-cache.ts";
import type { PackDirectory, PackEntry } from "./pack-directory.ts";

/** Indexes that are read at the same time when a lookup has no hint. */
const PROBE_WIDTH = 8;

/** Positions whose packs are remembered. */
const POSITIONS_MAX = 8192;

/** A row of a pack's object table. */
export interface PackRow {
  readonly pack: OpenPack;
  readonly row: number;
  /** As the directory lists the pack: what is open may have been opened for other positions, or none. */
  readonly entry: PackEntry;
}

export class ObjectLookup {
  readonly cache: PackCache;
  readonly #directory: PackDirectory;
  /** What the directory said in its version. */
  readonly #entriesAt = new Map<number, readonly PackEntry[]>();
  #version: number;

  constructor(cache: PackCache, directory: PackDirectory) {
    this.cache = cache;
    this.#directory = directory;
    this.#version = directory.version;
  }

  get directory(): PackDirectory {
    return this.#directory;
  }

  /** Where an object is, if the indexes in memory say so. `id`: 32 bytes. */
  peekRow(id: Uint8Array, hint: number): PackRow | undefined {
    if (hint === 0) return undefined;
    const entries = this.entriesAt(hint);
    if (!(entries instanceof Promise)) return this.#peekIn(entries, id);
    // Whoever wants the object now asks again, and hears then what went wrong.
    entries.catch(() => undefined);
    return undefined;
  }

  /** Packs that may hold what was introduced at a position, newest first. */
  entriesAt(position: number): readonly PackEntry[] | Promise<readonly PackEntry[]> {
    const { version } = this.#directory;
    if (version !== this.#version) {
      this.#entriesAt.clear();
      this.#version = version;
    }
    const known = this.#entriesAt.get(position);
    if (known !== undefined) return known;
    const entries = this.#directory.at(position);
    return entries instanceof Promise
      ? entries.then((found) => this.#remember(position, found, version))
      : this.#remember(position, entries, version);
  }

  #remember(position: number, entries: readonly PackEntry[], version: number): readonly PackEntry[] {
    if (version !== this.#version || version !== this.#directory.version) return entries;
    if (this.#entriesAt.size >= POSITIONS_MAX) this.#entriesAt.clear();
    this.#entriesAt.set(position, entries);
    return entries;
  }

  /**
   * `undefined` when no pack has the object. A pack that is missing from the store ends the search at the hint
   * with MissingPackError, unless another pack has the object: the head is out of date, probing all packs would
   * not help (renewal.ts).
   */
  async findRow(id: Uint8Array, hint: number): Promise<PackRow | undefined> {
    if (hint !== 0) {
      const entries = await this.entriesAt(hint);
      const found = this.#peekIn(entries, id) ?? (await this.#searchIn(entries, id, 1));
      if (found !== undefined) return found;
    }
    let missing: MissingPackError | undefined;
    for await (const entries of this.#directory.newestFirst()) {
      try {
        const found = this.#peekIn(entries, id) ?? (await this.#searchIn(entries, id, PROBE_WIDTH));
        if (found !== undefined) return found;
      } catch (error) {
        if (!(error instanceof MissingPackError)) throw error;
        missing ??= error;
      }
    }
    if (missing !== undefined) throw missing;
    return this.cache.mayBeDamaged && hint !== 0 ? await this.#searchAgain(id, hint) : undefined;
  }

  /**
   * An index cannot be proven to be that of its pack: a cache may have answered with that of another. Small packs are
   * read whole, and proven.
   */
  async #searchAgain(id: Uint8Array, hint: number): Promise<PackRow | undefined> {
    for (const entry of await this.entriesAt(hint)) {
      if (entry.size <= WHOLE_PACK_BYTES_MAX) continue;
      const pack = await this.cache.reopen(entry);
      const row = pack.index.findRow(id);
      if (row !== -1) return { pack, row, entry };
    }
    return undefined;
  }

  #peekIn(entries: readonly PackEntry[], id: Uint8Array): PackRow | undefined {
    for (const entry of entries) {
      const pack = this.cache.peek(entry);
      if (pack === undefined) continue;
      const row = pack.index.findRow(id);
      if (row !== -1) return { pack, row, entry };
    }
    return undefined;
  }

  /** Opens `width` packs at a time. Throws MissingPackError only when no other pack of `entries` has the object. */
  async #searchIn(
    entries: readonly PackEntry[],
    id: Uint8Array,
    width: number,
  ): Promise<PackRow | undefined> {
    let missing: MissingPackError | undefined;
    for (let from = 0; from < entries.length; from += width) {
      const together = entries.slice(from, from + width);
      const opened = await Promise.all(together.map((entry) => this.#tryOpen(entry)));
      for (const [i, pack] of opened.entries()) {
        if (pack instanceof MissingPackError) {
          missing ??= pack;
          continue;
        }
        const row = pack.index.findRow(id);
        if (row !== -1) return { pack, row, entry: together[i]! };
      }
    }
    if (missing !== undefined) throw missing;
    return undefined;
  }

  async #tryOpen(entry: PackEntry): Promise<OpenPack | MissingPackError> {
    try {
      return await this.cache.open(entry);
    } catch (error) {
      if (error instanceof MissingPackError) return error;
      throw error;
    }
  }
}

export function objectNotFound(id: ObjectId): MicError {
  return new MicError("not-found", `object ${id} is in no pack of the project`, {
    hint: "run `mic fsck` to see what is affected",
    data: { object: id },
  });
}
