/**
 * The list of a project's packs: the newest in the head, the rest in immutable pages that the head names, and
 * in pages of such pages, so that a head stays small however long the history is.
 */

import { MicError } from "../../base/errors.ts";
import { hashObject, verifyObject } from "../../base/hash.ts";
import type { Epoch, ObjectId, Position, ProjectId } from "../../base/ids.ts";
import type { Head, RollupRef } from "../../codec/head.ts";
import { decodeManifestPage, encodeManifestPage, type ManifestPage } from "../../codec/manifest-page.ts";
import type { ManifestPack } from "../../codec/pack-entry.ts";
import type { PageRef } from "../../codec/page-ref.ts";
import { pageKey } from "../../objects/keys.ts";
import type { PackDirectory } from "../../objects/pack-directory.ts";
import type { ETag, ObjectStore, Put } from "../../store/object-store.ts";
import { readVerified } from "../../store/read-verified.ts";

/** A head lists at most this many packs. */
export const HEAD_PACKS_MAX = 200;
/** Packs in one page of level 0. */
export const PAGE_PACKS = 128;
/** Pages in one page of level 1 and above; a head lists at most as many of each level. */
export const PAGE_FANOUT = 64;

const CACHED_PAGES_MAX = 256;

export interface PackLists {
  readonly pages: readonly PageRef[];
  readonly packs: readonly ManifestPack[];
}

export interface HeadLists extends PackLists {
  /** By first position; they do not overlap. */
  readonly rollups: readonly RollupRef[];
}

/** A head names a page that the store does not have. A newer head may not name it any more. */
class MissingPageError extends MicError {
  readonly page: ObjectId;

  constructor(page: ObjectId) {
    super("corrupt", `the manifest page ${page} is missing`, {
      hint: "run `mic fsck` to see what is affected",
      data: { object: page },
    });
    this.page = page;
  }
}

/** Pages by hash. They never change, so what was read once stays true. */
export class PageCache {
  readonly #store: ObjectStore;
  readonly #project: ProjectId;
  readonly #pages = new Map<ObjectId, ManifestPage>();
  /** Reads under way, for all who want the same page meanwhile. */
  readonly #loading = new Map<ObjectId, Promise<ManifestPage>>();

  constructor(store: ObjectStore, project: ProjectId) {
    this.#store = store;
    this.#project = project;
  }

  get(hash: ObjectId): ManifestPage | undefined {
    return this.#pages.get(hash);
  }

  add(hash: ObjectId, page: ManifestPage): void {
    if (this.#pages.size >= CACHED_PAGES_MAX) {
      const [oldest] = this.#pages.keys();
      if (oldest !== undefined) this.#pages.delete(oldest);
    }
    this.#pages.set(hash, page);
  }

  /** Errors: `corrupt` also when the page is missing. */
  async load(ref: PageRef): Promise<ManifestPage> {
    const cached = this.#pages.get(ref.hash);
    if (cached !== undefined) return cached;
    let loading = this.#loading.get(ref.hash);
    if (loading === undefined) {
      loading = this.#read(ref).finally(() => this.#loading.delete(ref.hash));
      this.#loading.set(ref.hash, loading);
    }
    const page = await loading;
    if (page.level !== ref.level) {
      throw new MicError(
        "corrupt",
        `the manifest page ${ref.hash} has level ${page.level}, not ${ref.level}`,
      );
    }
    return page;
  }

  async #read(ref: PageRef): Promise<ManifestPage> {
    const key = pageKey(this.#project, ref.epoch, ref.hash);
    const page = await readVerified(this.#store, key, {}, ({ bytes }) => {
      verifyObject(ref.hash, bytes, key);
      return decodeManifestPage(bytes);
    });
    if (page === undefined) throw new MissingPageError(ref.hash);
    // Whoever named it at another level is told so, and nobody finds it here.
    if (page.level === ref.level) this.add(ref.hash, page);
    return page;
  }
}

/** Where a manifest looks for newer lists. */
export interface NewerHeads {
  /** Of the head that the manifest is of. */
  readonly etag: ETag;
  /** The newest head, after asking the store. */
  newest(): Promise<{ readonly head: Head; readonly etag: ETag }>;
}

/**
 * A head's packs, by position. When one of them is gone, the lists of a newer head take their place: they lead to
 * everything that these lead to.
 */
export class Manifest implements PackDirectory {
  readonly #cache: PageCache;
  readonly #newer: NewerHeads | undefined;
  #lists: PackLists;
  #etag: ETag | undefined;
  #version = 0;

  constructor(head: Pick<Head, "pages" | "packs">, cache: PageCache, newer?: NewerHeads) {
    this.#lists = head;
    this.#cache = cache;
    this.#newer = newer;
    this.#etag = newer?.etag;
  }

  get version(): number {
    return this.#version;
  }

  async renew(since: number): Promise<boolean> {
    if (this.#version !== since) return true;
    if (this.#newer === undefined) return false;
    const { head, etag } = await this.#newer.newest();
    if (this.#version !== since) return true;
    if (etag === this.#etag) return false;
    this.#lists = head;
    this.#etag = etag;
    this.#version++;
    return true;
  }

  /** The packs in which an object introduced at `position` may be. A promise only when a page must be read. */
  at(position: number): readonly ManifestPack[] | Promise<readonly ManifestPack[]> {
    const found = packsAt(this.#lists.packs, position);
    const refs = refsAt(this.#lists.pages, position);
    if (refs.length === 0) return found;
    return this.#listedAt(position);
  }

  /** From the start again when a page is gone: packs may come twice. */
  async *newestFirst(): AsyncIterable<readonly ManifestPack[]> {
    const missed = new Set<ObjectId>();
    for (;;) {
      const version = this.#version;
      const { packs, pages } = this.#lists;
      try {
        if (packs.length > 0) yield packs.toReversed();
        yield* this.#walk(pages);
        return;
      } catch (error) {
        await this.#renewFor(error, version, missed);
      }
    }
  }

  async #listedAt(position: number): Promise<readonly ManifestPack[]> {
    const missed = new Set<ObjectId>();
    for (;;) {
      const version = this.#version;
      const { packs, pages } = this.#lists;
      try {
        return await this.#collect(refsAt(pages, position), position, packsAt(packs, position));
      } catch (error) {
        await this.#renewFor(error, version, missed);
      }
    }
  }

  /** Returns when it is worth looking again; throws `error` otherwise. */
  async #renewFor(error: unknown, version: number, missed: Set<ObjectId>): Promise<void> {
    if (!(error instanceof MissingPageError) || missed.has(error.page)) throw error;
    missed.add(error.page);
    if (!(await this.renew(version))) throw error;
  }

  /** The pack that holds the record of `position`. */
  recordPack(position: Position): ManifestPack | Promise<ManifestPack> {
    const entries = this.at(position);
    return entries instanceof Promise
      ? entries.then((found) => requireRecordPack(found, position))
      : requireRecordPack(entries, position);
  }

  async #collect(
    refs: readonly PageRef[],
    position: number,
    found: readonly ManifestPack[],
  ): Promise<readonly ManifestPack[]> {
    const all = [...found];
    for (const ref of refs) {
      const page = this.#cache.get(ref.hash) ?? (await this.#cache.load(ref));
      if ("packs" in page) all.push(...packsAt(page.packs, position));
      else all.push(...(await this.#collect(refsAt(page.pages, position), position, [])));
    }
    return all;
  }

  async *#walk(refs: readonly PageRef[]): AsyncIterable<readonly ManifestPack[]> {
    for (const ref of refs.toReversed()) {
      const page = await this.#cache.load(ref);
      if ("packs" in page) yield page.packs.toReversed();
      else yield* this.#walk(page.pages);
    }
  }
}

function packsAt(packs: readonly ManifestPack[], position: number): ManifestPack[] {
  const found: ManifestPack[] = [];
  for (let i = packs.length - 1; i >= 0; i--) {
    const pack = packs[i]!;
    // By last position: those before it end earlier still.
    if (pack.last < position) break;
    if (pack.first <= position) found.push(pack);
  }
  return found;
}

function refsAt(refs: readonly PageRef[], position: number): PageRef[] {
  return refs.filter((ref) => ref.first <= position && position <= ref.last);
}

function requireRecordPack(entries: readonly ManifestPack[], position: Position): ManifestPack {
  const entry = entries.find((candidate) => candidate.hasRecords);
  if (entry === undefined) {
    throw new MicError("corrupt", `no pack holds the record of position ${position}`, {
      hint: "run `mic fsck` to see what is affected",
      data: { position },
    });
  }
  return entry;
}

/** Adds packs to a head's lists; what no longer fits goes to pages, which `puts` stores. */
export function appendPacks(
  lists: PackLists,
  added: readonly ManifestPack[],
  place: { readonly project: ProjectId; readonly epoch: Epoch; readonly cache: PageCache },
): PackLists & { readonly puts: readonly Put[] } {
  let packs: readonly ManifestPack[] = [...lists.packs, ...added];
  let pages: readonly PageRef[] = lists.pages;
  const puts: Put[] = [];
  const spill = (page: ManifestPage, entries: readonly { first: Position; last: Position }[]): PageRef => {
    const bytes = encodeManifestPage(page);
    const hash = hashObject(bytes);
    puts.push({ key: pageKey(place.project, place.epoch, hash), bytes });
    place.cache.add(hash, page);
    return { hash, epoch: place.epoch, level: page.level, ...rangeOf(entries) };
  };
  while (packs.length > HEAD_PACKS_MAX) {
    const oldest = packs.slice(0, PAGE_PACKS);
    packs = packs.slice(PAGE_PACKS);
    pages = [...pages, spill({ level: 0, packs: oldest }, oldest)];
    for (let level = 0; ; level++) {
      const same = pages.filter((page) => page.level === level);
      if (same.length <= PAGE_FANOUT) break;
      const first = same.slice(0, PAGE_FANOUT);
      const parent = spill({ level: level + 1, pages: first }, first);
      const at = pages.indexOf(first[0]!);
      pages = [...pages.slice(0, at), parent, ...pages.slice(at + PAGE_FANOUT)];
    }
  }
  return { packs, pages, puts };
}

export function rangeOf(entries: readonly { first: Position; last: Position }[]): {
  first: Position;
  last: Position;
} {
  let { first, last } = entries[0]!;
  for (const entry of entries) {
    if (entry.first < first) first = entry.first;
    if (entry.last > last) last = entry.last;
  }
  return { first, last };
}
