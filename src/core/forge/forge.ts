/**
 * The forge as its callers see it: the CLI in process over a directory or a bucket, the CLI over a socket
 * (src/core/remote), and the server's handlers. Shapes are plain data so that each can cross a wire.
 *
 * Every method throws `MicError`. Common codes: `not-found` (project, position, path), `history-changed`
 * (a base that is not in this history), `unreachable`, `corrupt`, `aborted`.
 */
import type { Hlc } from "../base/hlc.ts";
import type { LandingId, ObjectId, PackId, Position, ProjectId, SessionId } from "../base/ids.ts";
import type { List } from "../base/list.ts";
import type { TreePath } from "../base/path.ts";
import type { TreeEntry } from "../codec/tree-entry.ts";
import type { Frame, ObjectRef } from "../objects/frame.ts";

export interface CallOptions {
  readonly signal?: AbortSignal;
}

// Projects

export type Visibility = "private" | "public";

export interface ProjectInfo {
  readonly id: ProjectId;
  /** `org/project`. */
  readonly name: string;
  readonly description: string;
  readonly visibility: Visibility;
  /** Unix milliseconds. */
  readonly createdAtMs: number;
  /** Lineage salt: 16 hex digits. */
  readonly salt: string;
}

export interface CreateProject {
  /** Minted by the client, so that a retried creation recognises itself. */
  readonly id: ProjectId;
  readonly name: string;
  readonly description?: string;
  readonly visibility?: Visibility;
  /** 16 hex digits; minted when absent. */
  readonly salt?: string;
}

export interface CreatedProject extends ProjectInfo {
  /** False: it was there. Absent where the forge does not say, as over a network. */
  readonly isNew?: boolean;
}

export interface UpdateProject {
  /** A rename leaves a redirect under the old name. */
  readonly name?: string;
  readonly description?: string;
  readonly visibility?: Visibility;
}

// Organizations

export interface OrganizationInfo {
  readonly name: string;
  readonly description: string;
  /** Unix milliseconds. */
  readonly createdAtMs: number;
}

export interface CreateOrganization {
  readonly name: string;
  readonly description?: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Pass as `after` for the next page; absent on the last. */
  readonly next?: string;
}

/** `damaged`: names of what is left out because its records cannot be read. A server says nothing of them. */
export interface PartialPage<T> extends Page<T> {
  readonly damaged?: readonly string[];
}

export interface PageRequest {
  readonly after?: string;
  readonly limit?: number;
}

// Positions

export interface PositionRef {
  readonly position: Position;
  readonly root: ObjectId;
}

export interface HeadInfo extends PositionRef {
  readonly hlc: Hlc;
  readonly salt: string;
}

// Landing

export interface PutOperation {
  readonly kind: "put";
  readonly path: TreePath;
  readonly entry: TreeEntry;
  /** Where already stored content was introduced, when the caller knows; 0 or the landing itself otherwise. */
  readonly hint: number;
}

export interface DeleteOperation {
  readonly kind: "delete";
  readonly path: TreePath;
}

export type Operation = PutOperation | DeleteOperation;

export interface ConversationMessage {
  readonly role: string;
  readonly text: string;
}

export interface LandRequest {
  /** Minted by the client and stored before the first attempt; the same id with the same content is idempotent. */
  readonly landingId: LandingId;
  /** What the caller was last synchronised to. */
  readonly base: PositionRef;
  readonly goal: string;
  /** `Name <email>` or `user@host`. */
  readonly author: string;
  /** Empty when a person lands by hand. */
  readonly agent: string;
  /** Sorted by tree key, one per path. An array; in process, where there are very many, a list that makes them. */
  readonly operations: List<Operation>;
  /** Its decisions and conversation are copied into the landing record. */
  readonly session?: SessionId;
  readonly decisions: readonly string[];
  readonly conversation: readonly ConversationMessage[];
  /** Packs uploaded for this landing with `putPack`. */
  readonly packs: readonly PackId[];
  /** Content that travels with the call: at most INLINE_CONTENT_BYTES_MAX stored bytes. */
  readonly frames: readonly Frame[];
  /** In process: nothing that it brings looks like a secret. Crosses no wire; believed where writers are trusted. */
  readonly isSearched?: boolean;
}

/** The two definite answers. Anything else is thrown; `outcome-unknown` is settled by landing again with the same id. */
export type LandResult =
  | {
      readonly kind: "landed";
      readonly position: Position;
      /** Tree root at that position. */
      readonly root: ObjectId;
      readonly session: SessionId;
    }
  | {
      readonly kind: "conflict";
      /** Sorted; every path of ours that a landing since the base set to something else. */
      readonly paths: readonly TreePath[];
    };

/** Lands what a session recorded; its content was stored before, with `putBlob` or `putPack`. */
export interface LandSession {
  readonly session: SessionId;
  /** As in `LandRequest`. */
  readonly landingId: LandingId;
  /** Default: the session's. Another one after a conflict: what the recorded operations were merged with. */
  readonly base?: PositionRef;
  /** Default: the session's. */
  readonly goal?: string;
  readonly author: string;
  readonly agent: string;
  /** Packs uploaded for it with `putPack`. */
  readonly packs?: readonly PackId[];
}

export interface FoundLanding {
  readonly position: Position;
  readonly root: ObjectId;
  readonly session: SessionId;
}

export interface LandingSummary {
  readonly position: Position;
  readonly landingId: LandingId;
  readonly session: SessionId;
  readonly root: ObjectId;
  readonly parentRoot: ObjectId;
  readonly goal: string;
  readonly author: string;
  readonly agent: string;
  /** Unix milliseconds. */
  readonly timeMs: number;
  /** Operations in the landing. */
  readonly changes: number;
}

export interface Landing extends LandingSummary {
  readonly hlc: Hlc;
  readonly base: PositionRef;
  readonly decisions: readonly string[];
  readonly conversation: readonly ConversationMessage[];
  readonly operations: readonly Operation[];
}

/** Copies history: positions, ids, times and trees stay what they are. */
export interface ImportLandings {
  /** Must be the head of the project. */
  readonly after: PositionRef;
  /** Consecutive, from `after.position + 1`. */
  readonly landings: readonly Landing[];
  /** Packs uploaded with `putPack` that hold content of these landings. */
  readonly packs: readonly PackId[];
  /** Content that travels with the call: at most INLINE_CONTENT_BYTES_MAX stored bytes. */
  readonly frames: readonly Frame[];
  /** Also what the policy of this history refuses. A server asks for an owner. */
  readonly allowSecrets?: boolean;
}

export interface ListLandings {
  /** Exclusive lower end, default 0. */
  readonly after?: Position;
  /** Inclusive upper end, default the head. */
  readonly upTo?: Position;
  /** Only landings that touched one of these paths or something below them. */
  readonly paths?: readonly TreePath[];
  /** Case-insensitive substring of the author. */
  readonly author?: string;
}

// Content

/** `hint` is where the content was introduced. */
export interface LocatedEntry {
  readonly path: TreePath;
  readonly entry: TreeEntry;
  readonly hint: number;
}

export interface TreeChange {
  readonly path: TreePath;
  readonly before: { readonly entry: TreeEntry; readonly hint: number } | undefined;
  readonly after: { readonly entry: TreeEntry; readonly hint: number } | undefined;
}

export type PathInfo =
  | { readonly kind: "entry"; readonly entry: TreeEntry; readonly hint: number }
  /** `count`: entries below, recursively. */
  | { readonly kind: "directory"; readonly count: number };

export type DirectoryItem =
  | { readonly kind: "entry"; readonly name: string; readonly entry: TreeEntry; readonly hint: number }
  | { readonly kind: "directory"; readonly name: string; readonly count: number };

export interface ListDirectory extends PageRequest {
  readonly at: Position;
  /** Empty string for the root. */
  readonly dir: TreePath | "";
}

export interface DiffRequest {
  readonly from: Position;
  readonly to: Position;
  /** Only these paths and what is below them; absent: everything. */
  readonly paths?: readonly TreePath[];
}

/**
 * What `fetch` streams: first every change in path order, then the frames with the content of the added and
 * changed entries, in path order, each object once. Content of chunked files is not included: the frame
 * holds the chunk list, and the chunks are asked for with `readObjects`.
 */
export type FetchItem =
  | { readonly kind: "changes"; readonly changes: readonly TreeChange[] }
  | { readonly kind: "content"; readonly objects: number; readonly bytes: number }
  /** Its bytes are the receiver's own; if they are a view of a larger buffer, that may be shared. */
  | { readonly kind: "frame"; readonly frame: Frame };

/** For one PUT of a pack, into the store itself. */
export interface UploadPlace {
  readonly url: string;
  /** To be sent with it; no credentials of the forge are. */
  readonly headers: Readonly<Record<string, string>>;
  /** What `finishUpload` takes. */
  readonly upload: string;
  /** Unix milliseconds. */
  readonly expiresAtMs: number;
}

/** For a GET of a pack, from the store itself. */
export interface PackPlace {
  readonly url: string;
  /** Bytes. */
  readonly size: number;
  /** Unix milliseconds. */
  readonly expiresAtMs: number;
}

/** Content that was stored by itself: what a tree entry needs to know of it. */
export interface StoredContent {
  readonly id: ObjectId;
  /** Bytes. */
  readonly size: number;
  /** Present when it is stored in chunks. */
  readonly chunks?: ObjectId;
}

/** Part of a file, in bytes; cut short where it passes the end. */
export interface ContentRange {
  readonly offset: number;
  readonly length: number;
}

export interface ReadObjectsOptions extends CallOptions {
  /** The caller is near: what is framed for it need not be compressed. */
  readonly uncompressed?: boolean;
}

export interface FetchOptions extends ReadObjectsOptions {
  /** The caller verifies every object that it takes: stored frames need not match their checksums first. */
  readonly unchecked?: boolean;
  /** The caller neither keeps nor transfers a frame's stored bytes: they are gone when it asks for the next item. */
  readonly borrowed?: boolean;
}

export interface BlameLine {
  /** 1-based. */
  readonly line: number;
  readonly text: string;
  readonly position: Position;
  readonly author: string;
  readonly goal: string;
  readonly timeMs: number;
}

// Sessions

export type SessionState = "open" | "landed" | "abandoned" | "conflicted";

export interface SessionSummary {
  readonly id: SessionId;
  readonly goal: string;
  readonly owner: string;
  readonly state: SessionState;
  readonly base: PositionRef;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** Where it landed, derived from the log. */
  readonly landedAt?: Position;
}

export interface Session extends SessionSummary {
  readonly operations: readonly Operation[];
  readonly decisions: readonly string[];
  readonly conversation: readonly ConversationMessage[];
}

export interface StartSession {
  readonly id: SessionId;
  readonly goal: string;
  readonly owner: string;
  /** Default: the head. */
  readonly base?: PositionRef;
}

export interface ListSessions extends PageRequest {
  readonly state?: SessionState;
  readonly owner?: string;
}

// Checking

export interface FsckFinding {
  readonly severity: "error" | "warning";
  readonly code: string;
  readonly message: string;
  readonly object?: string;
  readonly position?: Position;
  /** A file that it affects. */
  readonly path?: TreePath;
}

export interface FsckReport {
  readonly positions: number;
  readonly packs: number;
  readonly objects: number;
  readonly bytes: number;
  /** Stored objects that nothing names, and that the collector takes in time. */
  readonly unreferenced: number;
  readonly findings: readonly FsckFinding[];
}

export interface Progress {
  readonly done: number;
  /** 0 when unknown. */
  readonly total: number;
  readonly unit: "files" | "bytes" | "positions" | "objects";
}

export interface Forge extends AsyncDisposable {
  /** How the forge was reached, for messages. */
  readonly address: string;

  /** Errors: `already-exists`. Creating a project creates its organization when that is missing. */
  createOrganization(request: CreateOrganization, options?: CallOptions): Promise<OrganizationInfo>;
  getOrganization(name: string, options?: CallOptions): Promise<OrganizationInfo>;
  listOrganizations(request: PageRequest, options?: CallOptions): Promise<PartialPage<OrganizationInfo>>;

  createProject(request: CreateProject, options?: CallOptions): Promise<CreatedProject>;
  /** By `org/project` (following redirects) or by id. */
  getProject(nameOrId: string, options?: CallOptions): Promise<ProjectInfo>;
  listProjects(
    request: PageRequest & { readonly org?: string },
    options?: CallOptions,
  ): Promise<PartialPage<ProjectInfo>>;
  updateProject(project: ProjectId, request: UpdateProject, options?: CallOptions): Promise<ProjectInfo>;
  /** Leaves a tombstone; the name is free for nobody else. */
  deleteProject(project: ProjectId, options?: CallOptions): Promise<void>;

  /** Never older than `atLeast`. */
  getHead(project: ProjectId, options?: CallOptions & { readonly atLeast?: Position }): Promise<HeadInfo>;
  /** The tree root at a position. `out-of-range` beyond the head. */
  getPosition(project: ProjectId, position: Position, options?: CallOptions): Promise<PositionRef>;

  /** Verified and durable on return; referenced by a later `land`. `pack` may be used again when it resolves. */
  putPack(project: ProjectId, pack: Uint8Array, options?: CallOptions): Promise<PackId>;
  /**
   * A place past the forge for a pack of `size` bytes; `undefined` where there is none. Errors: `too-large`.
   */
  startUpload?(project: ProjectId, size: number, options?: CallOptions): Promise<UploadPlace | undefined>;
  /**
   * Verifies what was put there, stores it as `putPack` would, and empties the place. Errors: `usage` for an `upload`
   * that is none, `not-found` when nothing is there, `corrupt`.
   */
  finishUpload?(project: ProjectId, upload: string, options?: CallOptions): Promise<PackId>;
  /** Where a stored pack can be had past the forge; `undefined` where it cannot, or there is none. */
  findPackPlace?(project: ProjectId, pack: PackId, options?: CallOptions): Promise<PackPlace | undefined>;
  /**
   * A pack as it is stored: one that the log names, or one uploaded in the last days; `undefined` when there is
   * none. Only where the packs are at hand. Errors: `too-large`.
   */
  getPack?(project: ProjectId, pack: PackId, options?: CallOptions): Promise<Uint8Array | undefined>;
  /**
   * Stores content that no landing names yet: small content as one loose object, large content in chunks. A
   * landing that names it copies it into its own pack. Durable on return; repeating it is harmless.
   */
  putBlob(
    project: ProjectId,
    content: AsyncIterable<Uint8Array>,
    options?: CallOptions,
  ): Promise<StoredContent>;
  land(project: ProjectId, request: LandRequest, options?: CallOptions): Promise<LandResult>;
  /** The same id with the same recorded work is idempotent. */
  landSession(project: ProjectId, request: LandSession, options?: CallOptions): Promise<LandResult>;
  /**
   * Appends landings of another forge's history, each verified: its operations applied to the tree before it must
   * give its root. All or nothing; repeating it is harmless. Errors: `history-changed` when `after` is not the
   * head, `corrupt`, `different-lineage`.
   */
  importLandings(project: ProjectId, request: ImportLandings, options?: CallOptions): Promise<HeadInfo>;
  /** A session of another forge, as it is there. Errors: `already-exists` for another one under its id. */
  importSession(project: ProjectId, session: Session, options?: CallOptions): Promise<void>;
  /** Looks a landing id up in (after, head]. `undefined` is definite only where no other process may still be sending it. */
  findLanding(
    project: ProjectId,
    landingId: LandingId,
    after: Position,
    options?: CallOptions,
  ): Promise<FoundLanding | undefined>;

  /** Newest first, in pages. */
  listLandings(
    project: ProjectId,
    request: ListLandings,
    options?: CallOptions,
  ): AsyncIterable<readonly LandingSummary[]>;
  getLanding(project: ProjectId, position: Position, options?: CallOptions): Promise<Landing>;

  getPath(
    project: ProjectId,
    at: Position,
    path: TreePath,
    options?: CallOptions,
  ): Promise<PathInfo | undefined>;
  listDirectory(
    project: ProjectId,
    request: ListDirectory,
    options?: CallOptions,
  ): Promise<Page<DirectoryItem>>;
  /** Every entry at a position below `paths`, in path order, in pages. */
  listEntries(
    project: ProjectId,
    at: Position,
    paths: readonly TreePath[] | undefined,
    options?: CallOptions,
  ): AsyncIterable<readonly LocatedEntry[]>;
  diff(project: ProjectId, request: DiffRequest, options?: CallOptions): AsyncIterable<readonly TreeChange[]>;
  fetch(project: ProjectId, request: DiffRequest, options?: FetchOptions): AsyncIterable<FetchItem>;
  /** Frames that together hold every wanted object, in the order asked; a frame may hold others too. */
  readObjects(
    project: ProjectId,
    wants: readonly ObjectRef[],
    options?: ReadObjectsOptions,
  ): AsyncIterable<Frame>;
  /** Verified content in order, chunked or not. A range reads only the chunks it needs. */
  readFile(
    project: ProjectId,
    file: { readonly entry: TreeEntry; readonly hint: number },
    options?: CallOptions & { readonly range?: ContentRange },
  ): AsyncIterable<Uint8Array>;
  /**
   * Content by its id, landed or not; `chunks` where it is known that it is chunked. `undefined` when it is not
   * stored (chunked content is found by its chunk list only).
   */
  findContent(
    project: ProjectId,
    content: { readonly id: ObjectId; readonly chunks?: ObjectId },
    options?: CallOptions,
  ): Promise<StoredContent | undefined>;
  blame(
    project: ProjectId,
    at: Position,
    path: TreePath,
    options?: CallOptions,
  ): Promise<readonly BlameLine[]>;

  startSession(project: ProjectId, request: StartSession, options?: CallOptions): Promise<Session>;
  getSession(project: ProjectId, session: SessionId, options?: CallOptions): Promise<Session>;
  listSessions(
    project: ProjectId,
    request: ListSessions,
    options?: CallOptions,
  ): Promise<Page<SessionSummary>>;
  recordOperations(
    project: ProjectId,
    session: SessionId,
    operations: readonly Operation[],
    options?: CallOptions,
  ): Promise<Session>;
  recordDecision(
    project: ProjectId,
    session: SessionId,
    text: string,
    options?: CallOptions,
  ): Promise<Session>;
  recordConversation(
    project: ProjectId,
    session: SessionId,
    messages: readonly ConversationMessage[],
    options?: CallOptions,
  ): Promise<Session>;
  abandonSession(project: ProjectId, session: SessionId, options?: CallOptions): Promise<Session>;

  fsck(
    project: ProjectId,
    options?: CallOptions & { readonly onProgress?: (progress: Progress) => void },
  ): Promise<FsckReport>;
}
