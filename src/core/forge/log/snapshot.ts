/** A project as of one head: its trees, its log and where its objects are. Everything in it is committed. */
import { throwIfAborted } from "../../base/clock.ts";
import { corrupt, MicError } from "../../base/errors.ts";
import {
  EMPTY_ROOT,
  type LandingId,
  type ObjectId,
  type Position,
  type ProjectId,
  type SessionId,
} from "../../base/ids.ts";
import type { Head } from "../../codec/head.ts";
import {
  decodeLandingRecord,
  type LandingRecord,
  type OperationSegment,
} from "../../codec/landing-record.ts";
import { decodeOperations } from "../../codec/operations.ts";
import type { ManifestPack } from "../../codec/pack-entry.ts";
import type { ObjectReader } from "../../objects/object-reader.ts";
import { renewing } from "../../objects/renewal.ts";
import type { Tree } from "../../prolly/tree.ts";
import type { LandingPolicy } from "../../secrets/policy.ts";
import type { ETag } from "../../store/object-store.ts";
import type { Operation, PositionRef } from "../forge.ts";
import type { HeadLists, Manifest } from "../head/manifest.ts";
import { findInRollup } from "../rollup/lookup.ts";
import type { OpenRollup, RollupReader } from "../rollup/read.ts";
import { type LogSegment, segmentsOf } from "../rollup/segments.ts";
import type { ProjectCaches } from "./caches.ts";
import type { RecentLog } from "./recent-log.ts";
import type { TreePolicies } from "./tree-policies.ts";

/** Positions read together from a log. */
const LOG_PAGE_POSITIONS = 64;

interface SignalOption {
  readonly signal?: AbortSignal;
}

export class Snapshot {
  readonly project: ProjectId;
  readonly head: Head;
  readonly etag: ETag;
  readonly directory: Manifest;
  readonly reader: ObjectReader;
  readonly #caches: ProjectCaches;

  constructor(
    project: ProjectId,
    state: {
      readonly head: Head;
      readonly etag: ETag;
      readonly directory: Manifest;
      readonly reader: ObjectReader;
    },
    caches: ProjectCaches,
  ) {
    this.project = project;
    this.head = state.head;
    this.etag = state.etag;
    this.directory = state.directory;
    this.reader = state.reader;
    this.#caches = caches;
  }

  /** The same, to be asked as if no rollup had been made of its log yet. */
  withoutRollups(): Snapshot {
    return this.withLists({ rollups: [] });
  }

  /** The same with other lists in its head. It reads through those it had. */
  withLists({ rollups, pages, packs }: Partial<HeadLists>): Snapshot {
    const { directory, reader, etag } = this;
    const { head: before } = this;
    const head: Head = {
      ...before,
      rollups: rollups ?? before.rollups,
      pages: pages ?? before.pages,
      packs: packs ?? before.packs,
    };
    return new Snapshot(this.project, { head, etag, directory, reader }, this.#caches);
  }

  /** Rollups of this log, as far as they were read. */
  get rollups(): RollupReader {
    return this.#caches.rollups;
  }

  /** Of its trees, as far as they are known. */
  get policies(): TreePolicies {
    return this.#caches.policies;
  }

  /** What a landing on this head keeps to; without a promise when it is known. */
  policy(): LandingPolicy | Promise<LandingPolicy> {
    return this.#caches.policies.of(this.headTree(), this.reader);
  }

  /** The tree of a position. Does no I/O; trees of one project share decoded nodes. */
  tree(ref: PositionRef & { readonly hint?: number }): Tree {
    return this.#caches.tree(ref.root, ref.hint ?? ref.position, this.head.salt);
  }

  /** The tree of a position, of which most will be read in the order of its keys. */
  async treeToScan(position: Position): Promise<Tree> {
    return this.#caches.toScan(await this.treeAt(position));
  }

  headTree(): Tree {
    const { position, root, rootHint } = this.head;
    return this.tree({ position, root, hint: rootHint });
  }

  /** Errors: `out-of-range` beyond the head. */
  async treeAt(position: Position): Promise<Tree> {
    if (position === this.head.position) return this.headTree();
    if (position === 0) return this.tree({ position, root: EMPTY_ROOT });
    const { root, rootHint } = await this.record(position);
    return this.tree({ position, root, hint: rootHint });
  }

  /** Errors: `out-of-range` beyond the head. */
  async rootAt(position: Position): Promise<ObjectId> {
    if (position === this.head.position) return this.head.root;
    if (position === 0) return EMPTY_ROOT;
    return (await this.record(position)).root;
  }

  /** Errors: `out-of-range` for 0 and beyond the head. */
  async record(position: Position): Promise<LandingRecord> {
    if (position < 1 || position > this.head.position) throw outOfRange(position, this.head.position);
    let entry: ManifestPack | Promise<ManifestPack> | undefined = this.directory.recordPack(position);
    if (!(entry instanceof Promise)) {
      const known = this.#caches.records.get(entry.pack, position);
      if (known !== undefined) return known[position - known[0]!.position]!;
    }
    return await renewing(this.directory, async () => {
      const pack = await (entry ?? this.directory.recordPack(position));
      // The second time, what a newer head says.
      entry = undefined;
      const records = await this.#recordsNear(pack, position);
      return records[position - records[0]!.position]!;
    });
  }

  /** The records of (after, upTo], newest first, in pages. */
  async *records(
    after: Position,
    upTo: Position,
    options: SignalOption = {},
  ): AsyncIterable<readonly LandingRecord[]> {
    if (upTo > this.head.position) throw outOfRange(upTo, this.head.position);
    let position = upTo;
    while (position > after) {
      throwIfAborted(options.signal);
      const from = position;
      const { page, first } = await renewing(this.directory, () => this.#logPage(from, after));
      yield page;
      position = (first - 1) as Position;
    }
  }

  /** Records of (after, from], newest first, as far as some packs go back; `first` is where these begin. */
  async #logPage(
    from: Position,
    after: Position,
  ): Promise<{ readonly page: readonly LandingRecord[]; readonly first: Position }> {
    const packs: { readonly pack: ManifestPack; readonly last: Position }[] = [];
    const least = Math.max(after, from - LOG_PAGE_POSITIONS);
    for (let last = from; last > least; ) {
      const entry = this.directory.recordPack(last);
      const pack = entry instanceof Promise ? await entry : entry;
      packs.push({ pack, last });
      last = (pack.first - 1) as Position;
    }
    const page: LandingRecord[] = [];
    let first = (from + 1) as Position;
    for (const records of await Promise.all(packs.map(({ pack, last }) => this.#recordsNear(pack, last)))) {
      const last = first - 1;
      // A pack may have its records in several frames: those in between come with the next page.
      if (records.at(-1)!.position < last) break;
      first = records[0]!.position;
      for (let i = last - first; i >= 0; i--) if (records[i]!.position > after) page.push(records[i]!);
    }
    return { page, first };
  }

  /** Every operation of a landing, in path order. */
  async operations(of: Position | LandingRecord): Promise<readonly Operation[]> {
    const record = typeof of === "number" ? await this.record(of) : of;
    const { operations, position } = record;
    if (operations.kind === "inline") return this.#caches.inlineOperations(record);
    const read = operations.segments.map((segment) => this.segment(segment, position));
    return (await Promise.all(read)).flat();
  }

  /** The same part by part, each no larger than a segment. */
  async *operationPages(record: LandingRecord): AsyncIterable<readonly Operation[]> {
    const { operations, position } = record;
    if (operations.kind === "inline") yield this.#caches.inlineOperations(record);
    else for (const segment of operations.segments) yield await this.segment(segment, position);
  }

  /** The operations of a record that has them inline. */
  inlineOperations(record: LandingRecord): readonly Operation[] {
    return this.#caches.inlineOperations(record);
  }

  /** One segment of a large landing's operations. */
  async segment(segment: OperationSegment, position: Position): Promise<readonly Operation[]> {
    const { content } = await this.reader.read({ id: segment.id, hint: position });
    const operations = decodeOperations(content, position);
    if (operations.length !== segment.count) {
      throw corrupt("operations", `${operations.length} in a segment of ${segment.count}`);
    }
    return operations;
  }

  /** What landed since `after`, in memory, as far back as that reaches; undefined where it is not much. */
  recentLog(after: Position): Promise<RecentLog | undefined> {
    return this.#caches.recent.upTo(this, after);
  }

  /** The newest landing of a session in (after, head]. */
  landingOfSession(
    session: SessionId,
    after: Position,
    options: SignalOption = {},
  ): Promise<Position | undefined> {
    return this.#caches.sessions.find(this, session, after, options.signal);
  }

  /**
   * Where a landing id landed: looked up in the ring, and in the rollups and the log of (after, head] as far as the
   * ring does not reach.
   */
  async findLanding(
    landingId: LandingId,
    after: Position,
    options: SignalOption = {},
  ): Promise<LandingRecord | undefined> {
    const { ring, position: head } = this.head;
    const index = ring.lastIndexOf(landingId);
    if (index !== -1) {
      const record = await this.record((head - (ring.length - 1 - index)) as Position);
      if (record.landingId !== landingId)
        throw corrupt("head", `its ring names another landing at ${record.position}`);
      return record;
    }
    const beforeRing = (head - ring.length) as Position;
    if (after >= beforeRing) return undefined;
    const recent = await this.recentLog(after);
    const known = recent?.find(landingId);
    if (known !== undefined && known <= head) return this.record(known);
    const upTo = Math.min(beforeRing, recent?.low ?? beforeRing) as Position;
    for (const segment of await segmentsOf(this, after, upTo)) {
      const found =
        segment.rollup === undefined
          ? await this.#searchRecords(landingId, segment.after, segment.upTo, options)
          : await this.#searchRollup(landingId, { ...segment, rollup: segment.rollup }, options);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async #searchRollup(
    landingId: LandingId,
    { after, upTo, rollup }: LogSegment & { readonly rollup: OpenRollup },
    options: SignalOption,
  ): Promise<LandingRecord | undefined> {
    const position = await this.rollups.ask(() => findInRollup(rollup, "landings", landingId));
    if (position === "damaged") return await this.#searchRecords(landingId, after, upTo, options);
    if (position === undefined || position <= after || position > upTo) return undefined;
    const record = await this.record(position);
    return record.landingId === landingId
      ? record
      : await this.#searchRecords(landingId, after, upTo, options);
  }

  async #searchRecords(
    landingId: LandingId,
    after: Position,
    upTo: Position,
    options: SignalOption,
  ): Promise<LandingRecord | undefined> {
    for await (const page of this.records(after, upTo, options)) {
      const found = page.find((record) => record.landingId === landingId);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Records of a pack that are stored together, with the one of a position, in position order. */
  async #recordsNear(pack: ManifestPack, position: Position): Promise<readonly LandingRecord[]> {
    const known = this.#caches.records.get(pack.pack, position);
    if (known !== undefined) return known;
    const { first, contents } = await this.reader.recordsNear(pack, position);
    const records = contents.map(decodeLandingRecord);
    if (!records.every((record, i) => record.position === first + i)) {
      throw corrupt("pack", `${pack.pack} does not hold the records of ${pack.first} to ${pack.last}`);
    }
    const bytes = contents.reduce((sum, content) => sum + content.length, 0);
    this.#caches.records.add(pack.pack, records, bytes);
    return records;
  }
}

export function outOfRange(position: number, head: number): MicError {
  return new MicError("out-of-range", `there is no position ${position}; the newest is ${head}`, {
    hint: "see `mic log`",
    data: { position, head },
  });
}
