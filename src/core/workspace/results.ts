/** What workspace commands return: plain data in the shape of the interface's JSON documents. */
import type { LandingId, ObjectId, Position, ProjectId, SessionId } from "../base/ids.ts";
import type { List } from "../base/list.ts";
import type { TreePath } from "../base/path.ts";
import type { Conflict as StoredConflict } from "../codec/conflict-state.ts";
import type { TransitionKind } from "../codec/transition.ts";
import type { EntryKind } from "../codec/tree-entry.ts";
import type { SecretFinding } from "../secrets/refusal.ts";

export type Conflict = StoredConflict;

export interface PublishResult {
  /** `org/project`, as it is called there. */
  readonly project: string;
  readonly projectId: ProjectId;
  /** The newest position, there as here. */
  readonly positions: Position;
  /** Sessions with a record of their own. */
  readonly sessions: number;
  /** Address of the forge that the workspace belonged to. */
  readonly from: string;
}

export interface InitResult {
  /** `org/project`. */
  readonly project: string;
  readonly projectId: ProjectId;
  /** Absolute directory of the embedded forge. */
  readonly forge: string;
  readonly position: Position;
}

export interface CloneResult {
  readonly project: string;
  readonly projectId: ProjectId;
  readonly position: Position;
  readonly files: number;
  /** Bytes of content in the files. */
  readonly bytes: number;
}

export interface LinkResult {
  readonly project: string;
  readonly projectId: ProjectId;
  readonly position: Position;
}

export type ChangeOp = "add" | "modify" | "delete" | "mode" | "type";

export interface StatusChange {
  readonly op: ChangeOp;
  readonly path: TreePath;
  /** Absent for a deletion. */
  readonly kind?: EntryKind;
  /** Bytes; absent for a deletion. */
  readonly size?: number;
}

export interface SkippedPath {
  readonly path: string;
  readonly reason: string;
}

export interface StatusResult {
  /** `org/project`. */
  readonly project: string;
  readonly position: Position;
  /** The newest position that this workspace has heard of. */
  readonly latestKnown: Position;
  /** Tree root at the base. */
  readonly tree: ObjectId;
  readonly session: SessionId | null;
  /** A landing whose outcome is not known yet. */
  readonly pending: LandingId | null;
  /** An interrupted command that the next changing command finishes, e.g. `goto`. */
  readonly unfinished: string | null;
  readonly changes: List<StatusChange>;
  readonly conflicts: readonly TreePath[];
  readonly skipped: readonly SkippedPath[];
}

export interface LandOptions {
  /** Empty only with a session, whose goal is then used. */
  readonly goal: string;
  /** Only changes at or below these paths. */
  readonly paths?: readonly TreePath[];
  /** Default: the workspace's open session, if any. */
  readonly session?: SessionId;
  readonly decisions?: readonly string[];
  readonly allowEmpty?: boolean;
  /** New files above LARGE_FILE_BYTES. */
  readonly allowLarge?: boolean;
  readonly dryRun?: boolean;
  /** How often to sync and try again after a conflict. Default 0: never. */
  readonly syncAttempts?: number;
  /** What looks like a secret stops the landing, whatever the project's policy (core/secrets/policy.ts). */
  readonly refuseSecrets?: boolean;
}

export interface LandOutcome {
  /** The base when `dryRun`. */
  readonly position: Position;
  readonly session: SessionId | null;
  readonly tree: ObjectId;
  /** Operations landed (or to be landed). */
  readonly changes: number;
  /** What was landed (or would be). */
  readonly landed: List<StatusChange>;
  /** Unlanded edits that clash with what others landed; state in the workspace. */
  readonly conflicts: readonly TreePath[];
  /** What looks like a secret in what was landed. */
  readonly secrets: readonly SecretFinding[];
  readonly dryRun: boolean;
}

export interface GotoOptions {
  /** Merge unlanded changes into the target as `sync` does. */
  readonly keep?: boolean;
  /** Drop all unlanded changes; their content is kept for `undo`. */
  readonly discard?: boolean;
  /** Write only these paths as they are at the position; the base stays. */
  readonly paths?: readonly TreePath[];
}

export interface GotoResult {
  readonly position: Position;
  /** Paths written or removed. */
  readonly files: number;
  readonly conflicts: readonly TreePath[];
}

export interface SyncResult {
  readonly position: Position;
  /** Taken from the project. */
  readonly updated: readonly TreePath[];
  /** Changed on both sides and merged. */
  readonly merged: readonly TreePath[];
  readonly conflicts: readonly TreePath[];
}

export interface ConflictContent {
  readonly base: Uint8Array | undefined;
  readonly ours: Uint8Array | undefined;
  readonly theirs: Uint8Array | undefined;
  /** The file as it is now. */
  readonly current: Uint8Array | undefined;
}

export type ResolveStrategy = "ours" | "theirs" | "union" | "mark" | { readonly bytes: Uint8Array };

export interface ResolveResult {
  readonly resolved: readonly TreePath[];
  readonly remaining: readonly TreePath[];
}

export interface RestoreResult {
  readonly restored: readonly TreePath[];
}

export interface FileDiff {
  readonly op: ChangeOp | "rename";
  readonly path: TreePath;
  /** Where it was, for a rename. */
  readonly from?: TreePath;
  readonly before?: { readonly kind: EntryKind; readonly size: number };
  readonly after?: { readonly kind: EntryKind; readonly size: number };
  /** Empty when there is no such side. For a symlink, its target. */
  readBefore(): Promise<Uint8Array>;
  readAfter(): Promise<Uint8Array>;
}

export interface OperationSummary {
  /** Counts up from 1 in this workspace. */
  readonly number: number;
  readonly kind: TransitionKind;
  /** Unix milliseconds. */
  readonly timeMs: number;
  /** One line, e.g. `goto @3`. */
  readonly description: string;
  readonly from: Position;
  readonly to: Position;
  /** True when it was undone and can be redone. */
  readonly undone: boolean;
}

export interface UndoResult {
  readonly operation: OperationSummary;
  readonly position: Position;
  /** Paths written or removed. */
  readonly files: number;
}

export interface TrackResult {
  readonly paths: readonly TreePath[];
  /** Ignore files that were changed. */
  readonly ignoreFiles: readonly string[];
}
