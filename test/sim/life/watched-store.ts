/**
 * The store behind the faults, watched from outside: nothing that a head names is ever deleted, no head ever names
 * what is not there, and no immutable object ever gets other bytes. Says so at the very request that breaks it.
 */
import { equalBytes } from "../../../src/core/base/bytes.ts";
import { type Epoch, epochOf, type ProjectId } from "../../../src/core/base/ids.ts";
import { decodeHead, type Head } from "../../../src/core/codec/head.ts";
import { decodeManifestPage } from "../../../src/core/codec/manifest-page.ts";
import type { ManifestPack } from "../../../src/core/codec/pack-entry.ts";
import type { PageRef } from "../../../src/core/codec/page-ref.ts";
import { decodeRollupFront } from "../../../src/core/codec/rollup.ts";
import {
  headKey,
  packKey,
  pageKey,
  projectOfKey,
  rollupKey,
  rollupPartKey,
} from "../../../src/core/objects/keys.ts";
import type { MemoryStore } from "../../../src/core/store/memory-store.ts";
import type {
  CommitOutcome,
  ETag,
  ListOptions,
  ListPage,
  ObjectStore,
  Put,
  ReadOptions,
  StoredObject,
  Swap,
} from "../../../src/core/store/object-store.ts";

const EPOCH = /\/(\d{4}-\d{2}-\d{2})\//;
const DAY_MS = 86_400_000;
/** What the store's clock can be wrong by, and the time for which a signature is good. */
const SLACK_MS = 75 * 60_000;

export class WatchedStore implements ObjectStore {
  readonly #memory: MemoryStore;
  /** Tells what was broken. */
  readonly #onBreach: (what: string) => void;
  /** Keys that the newest head of each project names, with those of its pages and rollups. */
  readonly #named = new Map<ProjectId, ReadonlySet<string>>();
  /** Parts of each rollup that a head named: what is under a key does not change. */
  readonly #parts = new Map<string, readonly string[]>();
  /** Objects that were deleted. */
  deletes = 0;

  constructor(memory: MemoryStore, onBreach: (what: string) => void) {
    this.#memory = memory;
    this.#onBreach = onBreach;
  }

  get description(): string {
    return this.#memory.description;
  }

  get(key: string, options?: ReadOptions): Promise<StoredObject | undefined> {
    return this.#memory.get(key, options);
  }

  revalidate(key: string, etag: ETag): Promise<StoredObject | "unchanged" | undefined> {
    return this.#memory.revalidate(key, etag);
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    await this.#checkSame(key, bytes);
    await this.#memory.put(key, bytes);
  }

  async commit(puts: readonly Put[], swap: Swap): Promise<CommitOutcome> {
    for (const { key, bytes } of puts) await this.#checkSame(key, bytes);
    const outcome = await this.#memory.commit(puts, swap);
    if (outcome.kind === "committed") await this.#committed(swap);
    return outcome;
  }

  list(prefix: string, options?: ListOptions): Promise<ListPage> {
    return this.#memory.list(prefix, options);
  }

  async delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) {
      const project = projectOfKey(key);
      if (project !== undefined && this.#named.get(project)?.has(key) === true) {
        this.#onBreach(`DATA LOSS: ${key} is deleted, and the head names it`);
      }
      if (/\/(head|meta)$|^names\//.test(key)) this.#onBreach(`${key} is deleted`);
      if ((await this.#memory.get(key)) !== undefined) this.deletes++;
    }
    await this.#memory.delete(keys);
  }

  nowMs(): Promise<number> {
    return this.#memory.nowMs();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#memory[Symbol.asyncDispose]();
  }

  /** What is stored under an immutable key never changes. (Rollups may be compressed in more than one way.) */
  async #checkSame(key: string, bytes: Uint8Array): Promise<void> {
    if (!/\/(packs|pages|landing-log)\//.test(key)) return;
    const stored = await this.#memory.get(key);
    if (stored !== undefined && !equalBytes(stored.bytes, bytes)) this.#onBreach(`${key} gets other bytes`);
  }

  async #committed(swap: Swap): Promise<void> {
    const project = projectOfKey(swap.key);
    if (project === undefined || swap.key !== headKey(project)) return;
    const named = new Set<string>();
    const head = decodeHead(swap.bytes);
    await this.#collectNames(project, head, named);
    const before = this.#named.get(project);
    for (const key of named) {
      if (before?.has(key) === true) continue;
      this.#checkDay(key, await this.#memory.nowMs());
      if ((await this.#memory.get(key, { range: { offset: 0, length: 0 } })) === undefined) {
        this.#onBreach(`DATA LOSS: the head of ${head.position} names ${key}, which is not there`);
      }
    }
    this.#named.set(project, named);
  }

  /** A head newly names only what is of today or yesterday, as far as clocks and requests under way can tell. */
  #checkDay(key: string, nowMs: number): void {
    const epoch = EPOCH.exec(key)?.[1];
    if (epoch === undefined || epoch >= epochOf(nowMs - DAY_MS - SLACK_MS)) return;
    this.#onBreach(`the head newly names ${key} at ${new Date(nowMs).toISOString()}`);
  }

  async #partsOf(project: ProjectId, key: string, epoch: Epoch): Promise<readonly string[]> {
    const known = this.#parts.get(key);
    if (known !== undefined) return known;
    const stored = await this.#memory.get(key);
    if (stored === undefined) return [];
    const parts = decodeRollupFront(stored.bytes).parts.map(({ hash }) =>
      rollupPartKey(project, epoch, hash),
    );
    this.#parts.set(key, parts);
    return parts;
  }

  async #collectNames(project: ProjectId, head: Head, named: Set<string>): Promise<void> {
    for (const { epoch, level, first, hash } of head.rollups) {
      const key = rollupKey(project, epoch, level, first, hash);
      named.add(key);
      for (const part of await this.#partsOf(project, key, epoch)) named.add(part);
    }
    const addPacks = (packs: readonly ManifestPack[]): void => {
      for (const { pack, epoch } of packs) named.add(packKey(project, epoch, pack));
    };
    const addPages = async (refs: readonly PageRef[]): Promise<void> => {
      for (const { epoch, hash } of refs) {
        const key = pageKey(project, epoch, hash);
        named.add(key);
        const stored = await this.#memory.get(key);
        if (stored === undefined) continue;
        const page = decodeManifestPage(stored.bytes);
        if ("packs" in page) addPacks(page.packs);
        else await addPages(page.pages);
      }
    };
    addPacks(head.packs);
    await addPages(head.pages);
  }
}
