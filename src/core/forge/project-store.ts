/**
 * One project in one process: its newest known head, what was read of it, and the publisher that lands into
 * it. Any number of these, in any number of processes, may work on the same project: the compare-and-swap of
 * the head is all that orders them.
 */
import { bytesToHex } from "../base/bytes.ts";
import { abortable, type Clock, throwIfAborted } from "../base/clock.ts";
import { MicError } from "../base/errors.ts";
import {
  EMPTY_ROOT,
  type ObjectId,
  type PackId,
  POSITION_ZERO,
  type Position,
  type ProjectId,
} from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import { decodeHead, encodeHead, type Head } from "../codec/head.ts";
import type { LooseObject } from "../codec/loose-object.ts";
import { headKey } from "../objects/keys.ts";
import { ObjectReader } from "../objects/object-reader.ts";
import { PackCache } from "../objects/pack-cache.ts";
import type { ETag, ObjectStore, WaitOptions } from "../store/object-store.ts";
import { LooseContent } from "./content/loose.ts";
import { overlayReader } from "./content/overlay-reader.ts";
import { UploadedPacks } from "./content/uploaded-packs.ts";
import type { HeadInfo, ImportLandings, LandRequest, LandResult, StoredContent } from "./forge.ts";
import type { ChangeOutcome, HeadChange } from "./head/change.ts";
import { Manifest } from "./head/manifest.ts";
import { attachLoose } from "./landing/attach-loose.ts";
import { prepareImport } from "./landing/prepared-import.ts";
import { prepareLanding } from "./landing/prepared-landing.ts";
import { Publisher } from "./landing/publisher.ts";
import { importUnderPolicy, landUnderPolicy, type PolicyPlaces } from "./landing/under-policy.ts";
import { ProjectCaches } from "./log/caches.ts";
import { Snapshot } from "./log/snapshot.ts";
import type { RollupDamage } from "./rollup/read.ts";
import { swapLoop } from "./swap-loop.ts";

export interface ProjectStoreOptions {
  readonly store: ObjectStore;
  readonly project: ProjectId;
  readonly clock: Clock;
  readonly random: Random;
  /** Budget of the caches of packs and tree nodes together. */
  readonly cacheBytes: number;
  /** True when whoever lands is this process itself: content is not hashed again. */
  readonly trustWriters: boolean;
  /** How long a landing is retried before it is given up as `outcome-unknown` or `unreachable`. */
  readonly landTimeoutMs?: number;
}

interface SignalOption {
  readonly signal?: AbortSignal;
}

const LAND_TIMEOUT_MS = 120_000;
/** Of the cache budget, for decoded tree nodes; the rest is for packs. */
const NODE_CACHE_SHARE = 0.5;
const SALT_BYTES = 8;
const NONCE_BYTES = 16;

export class ProjectStore {
  readonly project: ProjectId;
  readonly #options: ProjectStoreOptions;
  readonly #cache: PackCache;
  readonly #caches: ProjectCaches;
  readonly #uploads: UploadedPacks;
  readonly #loose: LooseContent;
  readonly #publisher: Publisher;
  #newest: Snapshot | undefined;
  /** When the store last said what the newest head is. */
  #askedAtMs = Number.NEGATIVE_INFINITY;
  /** The question to the store that is under way, and the one that begins when it ends. */
  #asking: Promise<Snapshot> | undefined;
  #nextAsk: Promise<Snapshot> | undefined;
  /** When the last of those who share the next question stops waiting. */
  #nextUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: ProjectStoreOptions) {
    const { store, project, clock, random, cacheBytes, trustWriters } = options;
    this.project = project;
    this.#options = options;
    const nodeCacheBytes = Math.floor(cacheBytes * NODE_CACHE_SHARE);
    this.#cache = new PackCache({ store, project, budgetBytes: cacheBytes - nodeCacheBytes });
    this.#caches = new ProjectCaches(store, project, nodeCacheBytes);
    this.#uploads = new UploadedPacks({ store, project, trustWriters });
    this.#loose = new LooseContent({ store, project, uploads: this.#uploads });
    this.#publisher = new Publisher({
      store,
      project,
      clock,
      random,
      trustWriters,
      cache: this.#cache,
      caches: this.#caches,
      uploads: this.#uploads,
      timeoutMs: options.landTimeoutMs ?? LAND_TIMEOUT_MS,
      newest: () => this.#newest,
      askedAtMs: () => this.#askedAtMs,
      refresh: (untilMs) => this.#refresh(untilMs === undefined ? {} : { untilMs }),
      adopt: (head, etag, replaced) => this.#adoptOwn(head, etag, replaced),
    });
  }

  /** Rollups of the newest known head that were found missing or damaged. */
  get damagedRollups(): readonly RollupDamage[] {
    const { damaged } = this.#caches.rollups;
    const named = damaged.length === 0 ? [] : (this.#newest?.head.rollups ?? []);
    return damaged.filter(({ ref }) =>
      named.some((each) => each.hash === ref.hash && each.epoch === ref.epoch),
    );
  }

  /** How often the log was read instead of a rollup. */
  get rollupFallbacks(): number {
    return this.#caches.rollups.fallbacks;
  }

  /** Memory of its caches, roughly. */
  get heldBytes(): number {
    return this.#cache.usedBytes + this.#caches.heldBytes;
  }

  /** Something is landing or waits for it. */
  get isLanding(): boolean {
    return this.#publisher.isRunning;
  }

  /** The newest head that this process has seen, without asking the store. */
  get known(): Snapshot | undefined {
    return this.#newest;
  }

  /** Writes the first head if there is none. Returns the head that is there now. */
  async create(request: { readonly salt?: string } = {}): Promise<Head> {
    const { store, clock, random, project, landTimeoutMs: timeoutMs } = this.#options;
    const fresh = firstHead(random, request.salt);
    return await swapLoop<Head>(
      { store, clock, random, ...(timeoutMs === undefined ? {} : { timeoutMs }) },
      {
        key: headKey(project),
        what: `the head of project ${project}`,
        decode: decodeHead,
        encode: encodeHead,
        change: (current) => current ?? fresh,
      },
    );
  }

  /**
   * The project as the store has it now, or newer. Errors: `not-found` without a head, `history-changed` when
   * the head is older than `atLeast`.
   */
  async snapshot(
    options: { readonly atLeast?: Position; readonly signal?: AbortSignal } = {},
  ): Promise<Snapshot> {
    const snapshot = await this.#refresh(options);
    const { position } = snapshot.head;
    if (options.atLeast !== undefined && position < options.atLeast) {
      throw new MicError("history-changed", `the project is at ${position}, before ${options.atLeast}`, {
        hint: "was the store restored from a backup?",
        data: { position },
      });
    }
    return snapshot;
  }

  /** Verified unless writers are trusted; durable on return. */
  async putPack(bytes: Uint8Array, options: SignalOption = {}): Promise<PackId> {
    return await this.#uploads.put(bytes, options);
  }

  /** Durable on return. */
  async putBlob(content: AsyncIterable<Uint8Array>, options: SignalOption = {}): Promise<StoredContent> {
    return await this.#loose.put(content, options);
  }

  /** Content that is stored by itself, with a reader for its chunks. */
  async looseContent(
    snapshot: Snapshot,
    id: ObjectId,
    options: SignalOption = {},
  ): Promise<{ readonly object: LooseObject; readonly reader: ObjectReader } | undefined> {
    const object = await this.#loose.find(id, options);
    if (object === undefined) return undefined;
    if (object.kind === "blob") return { object, reader: snapshot.reader };
    const packs = await this.#uploads.findAll(object.packs, await this.#options.store.nowMs());
    // Without its packs the list is worth nothing; what it named may have landed.
    if (packs === undefined) return undefined;
    return { object, reader: overlayReader(snapshot, packs, this.#cache) };
  }

  /**
   * `landed` and `conflict` are the only final answers. `outcome-unknown` (with `data.landingId`) is settled by
   * landing again with the same id; other errors say that this attempt did not land.
   */
  async land(
    request: LandRequest,
    options: SignalOption & { readonly storedSinceMs?: number; readonly isOnly?: boolean } = {},
  ): Promise<LandResult> {
    const { store, trustWriters } = this.#options;
    const { signal, storedSinceMs } = options;
    const prepared = prepareLanding(request, { trustWriters });
    const landing = await attachLoose(prepared, {
      loose: this.#loose,
      uploads: this.#uploads,
      snapshot: () => this.snapshot(signal === undefined ? {} : { signal }),
      storeMs: () => store.nowMs(),
      ...(storedSinceMs === undefined ? {} : { sinceMs: storedSinceMs }),
      ...(signal === undefined ? {} : { signal }),
    });
    const isOnly = options.isOnly === true;
    return await landUnderPolicy(
      isOnly ? { ...landing, isOnly } : landing,
      this.#policyPlaces(signal),
      (judged) => this.#publisher.land(judged, signal),
    );
  }

  /** The head after them. Errors: those of a landing, `history-changed`, `corrupt`. */
  async importLandings(request: ImportLandings, options: SignalOption = {}): Promise<HeadInfo> {
    const prepared = prepareImport(request, { trustWriters: this.#options.trustWriters });
    return await importUnderPolicy(prepared, this.#policyPlaces(options.signal), (judged) =>
      this.#publisher.importLandings(judged, options.signal),
    );
  }

  #policyPlaces(signal: AbortSignal | undefined): PolicyPlaces {
    const { store, trustWriters } = this.#options;
    return {
      uploads: this.#uploads,
      cache: this.#cache,
      trustWriters,
      known: () => this.#newest,
      snapshot: () => this.snapshot(signal === undefined ? {} : { signal }),
      storeMs: () => store.nowMs(),
      signal,
    };
  }

  /**
   * Has the head changed without a landing. `obsolete`: the change did not fit the newest head, or is in it
   * already. Errors: what `change.apply` throws, `too-large`, `outcome-unknown`, `unreachable`, `aborted`.
   */
  async attach(change: HeadChange, options: SignalOption = {}): Promise<ChangeOutcome> {
    return await this.#publisher.attach(change, options.signal);
  }

  /**
   * Reads begun later never give a caller an older head than reads that ended before. Callers that come while the
   * store is being asked share the next question, so that however many there are, one is under way. It belongs to
   * none of them and takes no signal, and as long as the last of them waits.
   */
  async #refresh(options: WaitOptions): Promise<Snapshot> {
    throwIfAborted(options.signal);
    this.#nextUntilMs = Math.max(this.#nextUntilMs, options.untilMs ?? Number.POSITIVE_INFINITY);
    const answer = this.#nextAsk ?? this.#askNext();
    const snapshot = await (options.signal === undefined ? answer : abortable(answer, options.signal));
    throwIfAborted(options.signal);
    return snapshot;
  }

  #askNext(): Promise<Snapshot> {
    const before = this.#asking;
    const begin = (): Promise<Snapshot> => {
      this.#nextAsk = undefined;
      const untilMs = this.#nextUntilMs;
      this.#nextUntilMs = Number.NEGATIVE_INFINITY;
      const asked = this.#ask(Number.isFinite(untilMs) ? { untilMs } : {}).finally(() => {
        if (this.#asking === asked) this.#asking = undefined;
      });
      this.#asking = asked;
      return asked;
    };
    if (before === undefined) return begin();
    this.#nextAsk = before.then(begin, begin);
    return this.#nextAsk;
  }

  async #ask(options: WaitOptions): Promise<Snapshot> {
    for (let attempt = 0; ; attempt++) {
      const known = this.#newest;
      const askedAtMs = this.#options.clock.nowMs();
      const read = await this.#read(known, options);
      this.#askedAtMs = askedAtMs;
      const newest = this.#newest;
      if (read === undefined) {
        // Unchanged since before this call, unless this process landed meanwhile.
        if (newest !== undefined) return newest;
        continue;
      }
      const isUndisturbed = newest === known;
      const ahead = newest === undefined ? 1 : read.head.position - newest.head.position;
      if (ahead > 0 || (isUndisturbed && (ahead === 0 || attempt > 0))) {
        return this.#adopt(read.head, read.etag);
      }
      // Older than what this process landed meanwhile, or at the same position as what it attached, and perhaps
      // older: look again. Older again: the store was put back in time.
    }
  }

  async #read(
    known: Snapshot | undefined,
    options: WaitOptions,
  ): Promise<{ readonly head: Head; readonly etag: ETag } | undefined> {
    const { store, project } = this.#options;
    const key = headKey(project);
    const found =
      known === undefined ? await store.get(key, options) : await store.revalidate(key, known.etag, options);
    if (found === "unchanged") return undefined;
    if (found === undefined) {
      throw new MicError("not-found", `there is no project ${project}`, { data: { project } });
    }
    return { head: decodeHead(found.bytes), etag: found.etag };
  }

  /**
   * After a commit of our own over the head `replaced`. When another one is known by now, a read has overtaken the
   * commit's answer and found it, or what came after it.
   */
  #adoptOwn(head: Head, etag: ETag, replaced: ETag | null): void {
    if (this.#newest !== undefined && this.#newest.etag !== replaced) return;
    this.#askedAtMs = this.#options.clock.nowMs();
    this.#adopt(head, etag);
  }

  #adopt(head: Head, etag: ETag): Snapshot {
    if (this.#newest?.etag === etag) return this.#newest;
    const newest = (): Promise<Snapshot> => this.#refresh({});
    const directory = new Manifest(head, this.#caches.pages, { etag, newest });
    const reader = new ObjectReader(this.#cache, directory);
    this.#caches.readThrough(reader);
    this.#newest = new Snapshot(this.project, { head, etag, directory, reader }, this.#caches);
    return this.#newest;
  }
}

function firstHead(random: Random, salt: string | undefined): Head {
  return {
    position: POSITION_ZERO,
    root: EMPTY_ROOT,
    hlc: 0n,
    leastReader: 1,
    leastWriter: 1,
    salt: salt ?? bytesToHex(random.bytes(SALT_BYTES)),
    nonce: bytesToHex(random.bytes(NONCE_BYTES)),
    rootHint: 0,
    ring: [],
    rollups: [],
    pages: [],
    packs: [],
  };
}
