/** Lands the workspace's changes, then brings the workspace to the landed position. */
import { type ErrorCode, isMicError, MicError } from "../../base/errors.ts";
import { collectAfter } from "../../base/garbage.ts";
import type { SessionId } from "../../base/ids.ts";
import { CHUNK_THRESHOLD_BYTES, LARGE_FILE_BYTES, TEXT_BYTES_MAX } from "../../base/limits.ts";
import type { List } from "../../base/list.ts";
import { type TreePath, withinPaths } from "../../base/path.ts";
import { mintLandingId } from "../../base/random.ts";
import type { ChunkList } from "../../codec/chunk-list.ts";
import { encodePack } from "../../codec/pack.ts";
import type { PendingLanding } from "../../codec/pending-landing.ts";
import type { Forge, FoundLanding, LandRequest } from "../../forge/forge.ts";
import type { SecretFinding } from "../../secrets/refusal.ts";
import { bringForward, changeWorkspace } from "../checkout/settle.ts";
import { readChunkList } from "../content/content.ts";
import { authorOf, callOptions } from "../context.ts";
import type { ScanFindings } from "../index/scan-findings.ts";
import { ContentUpload } from "../packing/content-upload.ts";
import { packFiles } from "../packing/pack-files.ts";
import { type PackedChanges, packStatusChanges } from "../packing/packed-changes.ts";
import type { LandOptions, LandOutcome, StatusChange } from "../results.ts";
import type { WorkspaceChange } from "../scan/change-columns.ts";
import { findChanges, toStatusChanges } from "../scan/changes.ts";
import { basePolicy } from "../secrets/base-policy.ts";
import { findSecrets, refuseSecrets } from "../secrets/find.ts";
import type { Workspace } from "../workspace.ts";
import { syncInside } from "./sync.ts";

/**
 * Errors: `nothing-to-land`, `conflict` (with `paths`: landings since the base, or unresolved conflicts),
 * `too-large` for a new large file, `outcome-unknown` (the next command settles it).
 */
export function landWorkspace(ws: Workspace, options: LandOptions): Promise<LandOutcome> {
  return changeWorkspace(ws, () => landInside(ws, options));
}

/** With the lock held and nothing pending. */
export async function landInside(ws: Workspace, options: LandOptions): Promise<LandOutcome> {
  const forge = await ws.forge();
  const session = options.session ?? ws.settings.session;
  const goal = await goalOf(ws, forge, options.goal, session);
  const attempts = options.syncAttempts ?? 0;
  for (let attempt = 0; ; attempt++) {
    const outcome = await landOnce(ws, forge, { ...options, goal }, session);
    if (outcome.kind === "landed") return outcome.outcome;
    if (attempt === attempts) throw conflictError(outcome.paths, attempts > 0);
    const synced = await syncInside(ws, undefined);
    if (synced.conflicts.length > 0) throw overlapError(synced.conflicts);
  }
}

async function goalOf(
  ws: Workspace,
  forge: Forge,
  goal: string,
  session: SessionId | undefined,
): Promise<string> {
  if (goal.length > TEXT_BYTES_MAX) {
    throw new MicError("too-large", `the goal is longer than ${TEXT_BYTES_MAX} bytes`, {
      hint: "land long texts as a file, and name it in the goal",
    });
  }
  if (goal.trim() !== "") return goal;
  if (session === undefined) {
    throw new MicError("usage", "a landing needs a goal", { hint: 'say why: mic land "fix the parser"' });
  }
  return (await forge.getSession(ws.settings.project, session, callOptions(ws))).goal;
}

type LandAttempt =
  | { readonly kind: "landed"; readonly outcome: LandOutcome }
  | { readonly kind: "conflict"; readonly paths: readonly TreePath[] };

async function landOnce(
  ws: Workspace,
  forge: Forge,
  options: LandOptions,
  session: SessionId | undefined,
): Promise<LandAttempt> {
  const { landed, findings, lists } = await selectChanges(ws, options);
  const base = ws.index.base;
  const isStrict = options.refuseSecrets === true || (await basePolicy(ws)).secrets === "refuse";
  if (isStrict || options.dryRun === true) {
    // Before any content leaves.
    const secrets = findSecrets(ws.root, landed, (id) => ws.index.hintOf(id) !== undefined);
    if (isStrict) refuseSecrets(secrets, options.refuseSecrets === true);
    if (options.dryRun === true) return dryRun(ws, session, landed, secrets);
  }
  await using upload = new ContentUpload(ws, forge);
  const packed = await packChanges(ws, landed, lists, upload);
  const secrets = packed.secrets();
  // Written after it was looked for.
  if (isStrict) refuseSecrets(secrets, options.refuseSecrets === true);
  await upload.finish();
  const { packs, inline } = upload;
  letGo(ws, landed.length);
  const pending: PendingLanding = {
    landingId: mintLandingId(ws.context.random),
    basePosition: base.position,
    baseRoot: base.root,
    session,
    goal: options.goal,
    author: authorOf(ws),
    agent: ws.context.agent,
    decisions: options.decisions ?? [],
    packs: ws.inDirectory ? [] : packs,
    operations: ws.inDirectory ? [] : packed.pending(),
    resendable: !ws.inDirectory,
    hasContent: !ws.inDirectory && inline.length > 0,
  };
  const request: LandRequest = {
    landingId: pending.landingId,
    base,
    goal: pending.goal,
    author: pending.author,
    agent: pending.agent,
    operations: packed.operations(),
    decisions: pending.decisions,
    conversation: [],
    packs,
    frames: inline,
    ...(session === undefined ? {} : { session }),
    ...(secrets.length === 0 ? { isSearched: true } : {}),
  };
  // From here on a crash leaves a landing to be settled.
  ws.savePending(pending, pending.hasContent ? encodePack(inline).bytes : undefined);
  const result = await send(ws, forge, request);
  letGo(ws, landed.length);
  if (result.kind === "conflict") {
    ws.clearPending();
    return result;
  }
  upload.keep();
  const conflicts = await bringForward(ws, {
    operations: packed.pending(),
    landed: result,
    session,
    goal: options.goal,
    rows: packed.rows(result),
    findings,
  });
  return {
    kind: "landed",
    outcome: {
      position: result.position,
      session: result.session,
      tree: result.root,
      changes: landed.length,
      landed,
      conflicts,
      secrets,
      dryRun: false,
    },
  };
}

function dryRun(
  ws: Workspace,
  session: SessionId | undefined,
  landed: List<StatusChange>,
  secrets: readonly SecretFinding[],
): LandAttempt {
  const { position, root: tree } = ws.index.base;
  const changes = landed.length;
  const outcome = { position, session: session ?? null, tree, changes, landed, secrets };
  return { kind: "landed", outcome: { ...outcome, conflicts: [], dryRun: true } };
}

/** Below this many changes a landing leaves little garbage, however many files there are. */
const CHANGES_MIN = 16_384;

/** Between the phases of a landing. */
function letGo(ws: Workspace, changes: number): void {
  if (changes >= CHANGES_MIN) collectAfter(changes + ws.index.count);
}

/** After any of these, the landing is known not to have happened. */
const DEFINITE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "usage",
  "not-found",
  "unauthenticated",
  "forbidden",
  "unsafe-path",
  "too-large",
  "out-of-range",
  "unsupported",
  "history-changed",
  "landing-id-reused",
  "different-lineage",
]);

async function send(
  ws: Workspace,
  forge: Forge,
  request: LandRequest,
): Promise<({ readonly kind: "landed" } & FoundLanding) | (LandAttempt & { kind: "conflict" })> {
  try {
    return await forge.land(ws.settings.project, request, callOptions(ws));
  } catch (error) {
    if (isMicError(error) && DEFINITE.has(error.code)) {
      ws.clearPending();
      throw error;
    }
    if (!ws.inDirectory) throw error;
    // A directory can be asked at once, whatever went wrong.
    const { landingId, base } = request;
    const found = await forge.findLanding(ws.settings.project, landingId, base.position);
    if (found !== undefined) return { kind: "landed", ...found };
    throw error;
  }
}

interface SelectedChanges {
  readonly landed: List<StatusChange>;
  readonly findings: ScanFindings;
  /** Of large files that were large before: only the chunks that changed are packed. */
  readonly lists: ReadonlyMap<TreePath, ChunkList>;
}

async function selectChanges(ws: Workspace, options: LandOptions): Promise<SelectedChanges> {
  const unresolved = ws.conflicts.map(({ path }) => path).filter((path) => withinPaths(path, options.paths));
  if (unresolved.length > 0) {
    throw new MicError("conflict", `unresolved conflicts cannot be landed: ${unresolved.join(", ")}`, {
      hint: "run `mic resolve`",
      data: { paths: unresolved },
    });
  }
  const { changes, scan } = await findChanges(ws, options.paths, { askWatcher: true });
  if (scan.refused.length > 0) throw refusedError(scan.refused);
  for (const { path, reason } of scan.skipped) ws.context.warn?.(`${path} is not landed: ${reason}`);
  if (changes.length === 0 && options.allowEmpty !== true) {
    throw new MicError("nothing-to-land", "there are no changes to land", {
      hint: "--allow-empty lands a goal without changes",
    });
  }
  const landed = toStatusChanges(changes);
  letGo(ws, landed.length);
  if (options.allowLarge !== true) refuseLargeFiles(landed);
  const lists = options.dryRun === true ? new Map() : await priorChunkLists(ws, changes, landed);
  return { landed, findings: scan.findings, lists };
}

function refusedError(refused: readonly { readonly path: string; readonly reason: string }[]): MicError {
  const shown = refused.slice(0, 3).map(({ path, reason }) => `${path} (${reason})`);
  const more = refused.length > 3 ? ` and ${refused.length - 3} more` : "";
  return new MicError("unsafe-path", `cannot be landed: ${shown.join(", ")}${more}`, {
    hint: "rename it, make it readable, or exclude it with .micignore",
    data: { paths: refused.map(({ path }) => path) },
  });
}

function refuseLargeFiles(changes: List<StatusChange>): void {
  const large = changes.filter(({ op, size }) => op === "add" && size! > LARGE_FILE_BYTES);
  if (large.length === 0) return;
  const paths = large.map(({ path }) => path);
  throw new MicError("too-large", `new files above ${LARGE_FILE_BYTES >> 20} MiB: ${paths.join(", ")}`, {
    hint: "use --allow-large to land them, or exclude them with .micignore",
    data: { paths },
  });
}

async function packChanges(
  ws: Workspace,
  changes: List<StatusChange>,
  lists: ReadonlyMap<TreePath, ChunkList>,
  upload: ContentUpload,
): Promise<PackedChanges> {
  const { onProgress, signal } = ws.context;
  return packStatusChanges(changes, (files) =>
    packFiles({
      root: ws.root,
      files,
      findsSecrets: true,
      isKnown: (id) => ws.index.hintOf(id),
      knownIds: () => ws.index.columns.ids,
      ...(lists.size === 0 ? {} : { priorChunks: (path) => lists.get(path) }),
      onFrame: (frame) => upload.add(frame),
      ...(signal === undefined ? {} : { signal }),
      ...(onProgress === undefined ? {} : { onProgress: (p) => onProgress({ ...p, task: "packing" }) }),
    }),
  );
}

async function priorChunkLists(
  ws: Workspace,
  changes: List<WorkspaceChange>,
  landed: List<StatusChange>,
): Promise<Map<TreePath, ChunkList>> {
  const lists = new Map<TreePath, ChunkList>();
  let i = 0;
  for (const { path, size } of landed) {
    const number = i++;
    if (size === undefined || size <= CHUNK_THRESHOLD_BYTES) continue;
    const { before } = changes.at(number)!;
    if (before?.entry.chunks !== undefined) lists.set(path, await readChunkList(ws, before));
  }
  return lists;
}

function conflictError(paths: readonly TreePath[], synced: boolean): MicError {
  return new MicError(
    "conflict",
    `others landed changes to ${paths.length === 1 ? paths[0] : `${paths.length} of these paths`} since the base`,
    {
      hint: synced
        ? "run `mic sync`, then `mic land` again"
        : "run `mic sync` to merge them, then `mic land` again",
      data: { paths },
    },
  );
}

function overlapError(paths: readonly TreePath[]): MicError {
  return new MicError("conflict", `changes overlap with what others landed: ${paths.join(", ")}`, {
    hint: "run `mic resolve`, then `mic land` again",
    data: { paths },
  });
}
