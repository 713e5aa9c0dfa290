/**
 * Landings that one swap of the head will carry, each with its own position, conflict check and result. Built on
 * one snapshot; nothing in it is true before the swap is.
 */
import { releaseBytes } from "../../base/bytes.ts";
import { invariant, MicError } from "../../base/errors.ts";
import { collectAfter, GarbagePace } from "../../base/garbage.ts";
import { hashObject } from "../../base/hash.ts";
import { nextHlc } from "../../base/hlc.ts";
import {
  type Epoch,
  type LandingId,
  type ObjectId,
  objectIdFromBytes,
  type Position,
} from "../../base/ids.ts";
import { BLOB_FRAME_RAW_BYTES, FRAME_RAW_BYTES_MAX, NODE_FRAME_RAW_BYTES } from "../../base/limits.ts";
import type { Random } from "../../base/random.ts";
import { type Head, WRITER_VERSION } from "../../codec/head.ts";
import { encodeHints } from "../../codec/hints.ts";
import { encodeLandingRecord, type LandingRecord } from "../../codec/landing-record.ts";
import { encodePack } from "../../codec/pack.ts";
import type { ManifestPack } from "../../codec/pack-entry.ts";
import type { Frame } from "../../objects/frame.ts";
import { FrameBuilder } from "../../objects/frame-builder.ts";
import { packKey } from "../../objects/keys.ts";
import type { PackCache } from "../../objects/pack-cache.ts";
import { editTreeInSlices } from "../../prolly/edit.ts";
import type { Tree } from "../../prolly/tree.ts";
import type { NewNode, TreeEdit } from "../../prolly/types.ts";
import type { LandingPolicy } from "../../secrets/policy.ts";
import type { UploadedPack, UploadedPacks } from "../content/uploaded-packs.ts";
import type { ChangedLists } from "../head/change.ts";
import { appendPacks, type PageCache } from "../head/manifest.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { TouchedPaths } from "../log/touched-paths.ts";
import { POLICY_KEY } from "../log/tree-policies.ts";
import { doClash } from "./conflicts.ts";
import { editOf } from "./edits.ts";
import { ContentLocator } from "./locate-content.ts";
import { checkNeighbours } from "./neighbours.ts";
import type { GivenPlace, PreparedLanding } from "./prepared-landing.ts";
import { recordOperations, type StoredSegment } from "./record-operations.ts";
import { type SealedHead, sealHead } from "./sealed-head.ts";
import { NotSearched } from "./under-policy.ts";

/** Landings whose ids the head remembers. */
export const RING_SIZE = 256;
/** At most half the ring, so that a batch whose outcome is unknown is still in the ring after the next one. */
export const BATCH_LANDINGS_MAX = RING_SIZE / 2;
/** Bytes of content, nodes and operations after which a batch takes no further landing. */
const BATCH_BYTES_MAX = 64 << 20;
/** A larger landing is compared with, not indexed. */
const INDEXED_OPERATIONS_MAX = 1024;

export interface BatchContext {
  readonly snapshot: Snapshot;
  readonly cache: PackCache;
  readonly pages: PageCache;
  readonly uploads: UploadedPacks;
  readonly random: Random;
  readonly trustWriters: boolean;
  /** The store's time, taken before anything is checked. */
  readonly storeMs: number;
  /** This machine's time, at most 5 minutes ahead of the store's. */
  readonly localMs: number;
  /** Today by the store's time. */
  readonly epoch: Epoch;
}

export interface BatchMember {
  readonly landing: PreparedLanding;
  readonly record: LandingRecord;
  readonly recordBytes: Uint8Array;
  readonly tree: Tree;
}

/** What one commit writes, and what is true once it is committed. */
export interface SealedBatch extends SealedHead {
  readonly pack: ManifestPack;
  readonly packBytes: Uint8Array;
  /** Encoded size. */
  readonly recordBytes: number;
  readonly members: readonly BatchMember[];
}

export class Batch {
  readonly #context: BatchContext;
  readonly #members: BatchMember[] = [];
  readonly #ids = new Set<LandingId>();
  readonly #touched = new TouchedPaths();
  readonly #operations = new FrameBuilder({ rawTarget: BLOB_FRAME_RAW_BYTES });
  readonly #operationIds = new Set<ObjectId>();
  readonly #uploads = new Map<string, ManifestPack>();
  /** Landings that are imported together share theirs. */
  readonly #frames = new Set<Frame>();
  readonly #nodes = new FrameBuilder({ rawTarget: NODE_FRAME_RAW_BYTES });
  readonly #nodeIds = new Set<ObjectId>();
  #tree: Tree;
  #rootHint: number;
  /** The newest that a member brought. */
  #broughtPolicy: LandingPolicy | undefined;
  #bytes = 0;

  constructor(context: BatchContext) {
    this.#context = context;
    this.#tree = context.snapshot.headTree();
    this.#rootHint = context.snapshot.head.rootHint;
  }

  get size(): number {
    return this.#members.length;
  }

  get isFull(): boolean {
    return this.#members.length >= BATCH_LANDINGS_MAX || this.#bytes >= BATCH_BYTES_MAX;
  }

  /**
   * Whether it has to wait for the members to be definite: the same id or session again, a clash with one of them, which
   * is a conflict only once that one is committed, or a policy, which counts only then.
   */
  mustWait({ request, session, isOnly, isSearched }: PreparedLanding): boolean {
    if (this.#ids.has(request.landingId)) return true;
    if (isSearched !== true && this.#broughtPolicy?.secrets === "refuse") return true;
    if (isOnly === true && this.#members.some(({ landing }) => landing.session === session)) return true;
    if (!this.#touched.mayClash(request.operations, 0)) return false;
    return this.#members.some(({ landing }) => doClash(landing.request.operations, request.operations));
  }

  /**
   * Gives a landing that conflicts with nothing its position. When it throws (`not-found` for content, `usage`
   * for a file and directory in one place, NotSearched, anything from reading) the batch is as it was before. `claim` is
   * asked at the moment from which the landing may be sent: false leaves it out.
   */
  async add(landing: PreparedLanding, claim: () => boolean): Promise<boolean> {
    const { snapshot, uploads, storeMs, cache, trustWriters, localMs } = this.#context;
    const { request, edits } = landing;
    if (landing.isSearched !== true) {
      // Which policy counts is known only now: that of the tree which the landing follows.
      const policy = this.#broughtPolicy ?? (await snapshot.policy());
      if (policy.secrets === "refuse") throw new NotSearched();
    }
    // What comes after it is to keep to that.
    const isRead = landing.policyAfter !== undefined || editOf(edits, POLICY_KEY) === -1;
    if (!isRead) throw new NotSearched();
    const position = (snapshot.head.position + this.#members.length + 1) as Position;
    const packs: UploadedPack[] = [];
    for (const pack of request.packs) packs.push(await uploads.require(pack, storeMs));

    const before = this.#tree;
    const content = new ContentLocator({ landing, uploads: packs, snapshot, cache, trustWriters });
    const isKnown = new Uint8Array(edits.length);
    const located = this.#locatedEdits(landing, content, isKnown, position);
    const nodes: NewNode[] = [];
    const tree = await editTreeInSlices(before, located, { position, emit: (node) => nodes.push(node) });
    await checkNeighbours(before, tree, edits, isKnown);

    if (landing.given !== undefined) checkGiven(landing.given, position, tree.root);

    const { operations, segments } = recordOperations(edits, position);
    const previous = this.#members.at(-1)?.record;
    const rootHint = tree.root === before.root ? this.#rootHint : tree.hint;
    const record: LandingRecord = {
      landingId: request.landingId,
      session: landing.session,
      position,
      hlc: landing.given?.hlc ?? nextHlc(localMs, previous?.hlc ?? snapshot.head.hlc),
      parentRoot: before.root,
      root: tree.root,
      rootHint,
      base: request.base,
      digest: landing.digest,
      operationCount: edits.length,
      goal: request.goal,
      author: request.author,
      agent: request.agent,
      decisions: request.decisions,
      conversation: request.conversation,
      packs: landing.given === undefined ? request.packs : [],
      operations,
    };
    const recordBytes = encodeLandingRecord(record);
    if (recordBytes.length > FRAME_RAW_BYTES_MAX) {
      throw new MicError("too-large", `the landing's record would take ${recordBytes.length} bytes`, {
        hint: "land fewer files at once, or say less",
      });
    }
    if (!claim()) return false;
    this.#accept({ landing, record, recordBytes, tree }, packs, nodes, segments);
    return true;
  }

  /**
   * Imported landings, all of them. When one is refused, what is in the batch is not to be sent. Errors besides
   * those of `add`: `too-large`.
   */
  async addAll(landings: readonly PreparedLanding[], claim: () => boolean): Promise<boolean> {
    for (const [index, landing] of landings.entries()) {
      if (this.isFull) {
        throw new MicError("too-large", `${landings.length} landings of this size in one call`, {
          hint: `import at most ${index} at once`,
        });
      }
      const isLast = index === landings.length - 1;
      if (!(await this.add(landing, isLast ? claim : () => true))) return false;
    }
    return true;
  }

  /** The edits in slices, with hints. Sets `isKnown` of each edit whose key the tree before it has. */
  async *#locatedEdits(
    landing: PreparedLanding,
    content: ContentLocator,
    isKnown: Uint8Array,
    position: Position,
  ): AsyncGenerator<readonly TreeEdit[], void, undefined> {
    const { edits } = landing;
    const before = this.#tree;
    const pace = new GarbagePace();
    for (const [from, to] of edits.ranges()) {
      const existing = before.isEmpty ? [] : await before.getMany(edits.keys(from, to));
      for (let i = 0; i < existing.length; i++) if (existing[i] !== undefined) isKnown[from + i] = 1;
      await content.locate(from, to, existing, position);
      if (landing.given !== undefined) this.#keepHints(landing, from, to, position);
      yield edits.slice(from, to);
      pace.passed(to - from);
    }
  }

  /** Content that came with an import stays introduced where it was, as far as the import reaches back. */
  #keepHints({ request, edits }: PreparedLanding, from: number, to: number, position: Position): void {
    const first = this.#context.snapshot.head.position + 1;
    for (let i = from; i < to; i++) {
      const operation = request.operations.at(i)!;
      if (operation.kind === "delete" || edits.hints[i] !== position) continue;
      const { hint } = operation;
      if (hint >= first && hint < position) edits.hints[i] = hint;
    }
  }

  #accept(
    member: BatchMember,
    packs: readonly UploadedPack[],
    nodes: readonly NewNode[],
    segments: readonly StoredSegment[],
  ): void {
    const { position } = member.record;
    this.#tree = member.tree;
    this.#rootHint = member.record.rootHint;
    this.#members.push(member);
    this.#learnPolicy(member);
    const { landingId, operations } = member.landing.request;
    this.#ids.add(landingId);
    this.#touched.add(position, operations.length <= INDEXED_OPERATIONS_MAX ? operations : undefined);
    for (const { id, bytes } of segments) {
      if (this.#operationIds.has(id)) continue;
      this.#operationIds.add(id);
      this.#operations.add("operations", id, bytes);
      this.#bytes += bytes.length;
      releaseBytes(bytes);
    }
    for (const frame of member.landing.frames) this.#frames.add(frame);
    this.#bytes += member.landing.frameBytes;
    for (const { pack, epoch, size, indexLength } of packs) {
      const first = this.#uploads.get(pack)?.first ?? position;
      this.#uploads.set(pack, { pack, epoch, hasRecords: false, first, last: position, size, indexLength });
    }
    for (const node of nodes) {
      const id = objectIdFromBytes(node.hash);
      if (this.#nodeIds.has(id)) continue;
      this.#nodeIds.add(id);
      this.#bytes += node.bytes.length;
      this.#nodes.add("node", id, node.bytes, encodeHints(node.hints));
    }
  }

  /** Spares the next landing the look-up. */
  #learnPolicy({ landing, tree }: BatchMember): void {
    const { snapshot } = this.#context;
    this.#broughtPolicy = landing.policyAfter ?? this.#broughtPolicy;
    const policy = this.#broughtPolicy ?? snapshot.policies.known(snapshot.head.root);
    if (policy !== undefined) snapshot.policies.learn(tree.root, policy);
  }

  /** One pack and the swap of the head, whose lists a change made anew. Call once, with at least one member. */
  seal(changed?: ChangedLists): SealedBatch {
    collectAfter(this.#members.reduce((sum, { record }) => sum + record.operationCount, 0));
    const { snapshot, epoch, pages } = this.#context;
    const { project, head: parent } = snapshot;
    const members = this.#members;
    const newest = members.at(-1)?.record;
    invariant(newest !== undefined, "an empty batch is sealed");

    const { frames, recordBytes } = this.#recordFrames();
    const own = [...this.#nodes.finish(), ...this.#operations.finish(), ...frames];
    const encoded = encodePack([...this.#frames, ...own], (frame) => {
      if (!this.#frames.has(frame)) releaseBytes(frame.stored);
    });
    const pack: ManifestPack = {
      pack: encoded.id,
      epoch,
      hasRecords: true,
      first: members[0]!.record.position,
      last: newest.position,
      size: encoded.bytes.length,
      indexLength: encoded.indexLength,
    };
    const uploads = [...this.#uploads.values()].sort((a, b) => a.last - b.last);
    const added = [...uploads, pack];
    const before = changed ?? parent;
    const lists = appendPacks(before, added, { project, epoch, cache: pages });
    const ids: LandingId[] = members.map(({ landing }) => landing.request.landingId);
    const sealed = sealHead(this.#context, {
      position: newest.position,
      root: newest.root,
      hlc: newest.hlc,
      rootHint: newest.rootHint,
      ring: [...parent.ring, ...ids].slice(-RING_SIZE),
      rollups: before.rollups,
      pages: lists.pages,
      packs: lists.packs,
    });
    const packPut = { key: packKey(project, epoch, encoded.id), bytes: encoded.bytes };
    const puts = [packPut, ...(changed?.puts ?? []), ...lists.puts];
    return { ...sealed, puts, pack, packBytes: encoded.bytes, recordBytes, members };
  }

  /** Records in frames of their own, so that reading a log reads neither paths nor nodes. */
  #recordFrames(): { frames: Frame[]; recordBytes: number } {
    const recordBytes = this.#members.reduce((sum, member) => sum + member.recordBytes.length, 0);
    const records = new FrameBuilder({ rawTarget: Math.min(recordBytes, BLOB_FRAME_RAW_BYTES) });
    for (const { recordBytes: bytes } of this.#members) records.add("record", hashObject(bytes), bytes);
    return { frames: records.finish(), recordBytes };
  }
}

/** Errors: `corrupt` when the operations of an imported landing do not make its tree. */
function checkGiven(given: GivenPlace, position: Position, root: ObjectId): void {
  invariant(given.position === position, "an imported landing gets another position");
  if (root === given.root) return;
  throw new MicError("corrupt", `landing ${position}: its operations make another tree`, {
    data: { position },
  });
}

/** Errors: `unsupported` when the project needs a newer writer. */
export function checkWriterVersion(head: Head): void {
  if (head.leastWriter <= WRITER_VERSION) return;
  throw new MicError("unsupported", `landing into this project needs format version ${head.leastWriter}`, {
    hint: "use a newer mic",
  });
}
