/**
 * Moves a workspace's project to another forge, mostly from the one inside the workspace to a shared one: the same
 * project id and lineage, the same history and sessions. Then the workspace belongs to the project there. Every
 * step finds out what was done before, so that an interrupted publish is finished by running it again. The forge
 * that it leaves stays as it is.
 */
import { isAbsolute, join } from "node:path";
import { isMicError, MicError } from "../../base/errors.ts";
import type { Position } from "../../base/ids.ts";
import type { CallOptions, Forge, HeadInfo, PositionRef, ProjectInfo } from "../../forge/forge.ts";
import { changeWorkspace } from "../checkout/settle.ts";
import { callOptions } from "../context.ts";
import type { CopyContext } from "../publish/copy-content.ts";
import { copyHistory } from "../publish/copy-history.ts";
import { copySessions } from "../publish/copy-sessions.ts";
import { keepBase } from "../publish/keep-base.ts";
import type { PublishResult } from "../results.ts";
import { EMBEDDED_ADDRESS, type Workspace } from "../workspace.ts";

export interface PublishOptions {
  /** An absolute directory or a URL, without the project. */
  readonly address: string;
  /** The forge there. */
  readonly target: Forge;
  /** `org/project`; default: what the project is called now. */
  readonly name?: string;
  /** Also landings that the project's policy refuses. */
  readonly allowSecrets?: boolean;
}

/**
 * Errors: `already-exists` when the name is another project's, or the project is there under another name;
 * `history-changed` when its history there is another one, or somebody lands into it meanwhile.
 */
export function publishWorkspace(ws: Workspace, options: PublishOptions): Promise<PublishResult> {
  return changeWorkspace(ws, async () => {
    const { target, address } = options;
    const from = ws.forgeAddress;
    const source = await ws.forge();
    const call = callOptions(ws);
    const local = await source.getProject(ws.settings.project, call);
    const project = await createOrFind(target, local, options.name, call);
    const context: CopyContext = { source, target, project: local.id, options: call };
    const isThere = source === target;
    if (!isThere) await copyAll(ws, context, options.allowSecrets === true);
    const sessions = isThere ? 0 : await copySessions(context);
    const { position } = await source.getHead(local.id, call);
    // A forge in a directory keeps the base at hand; one behind a network does not.
    if (ws.inDirectory && !isAbsolute(address)) await keepBase(ws, source);
    ws.saveSettings({
      ...ws.settings,
      address: address === join(ws.root, EMBEDDED_ADDRESS) ? EMBEDDED_ADDRESS : address,
      projectName: project.name,
    });
    ws.noteLatest(position);
    return { project: project.name, projectId: project.id, positions: position, sessions, from };
  });
}

/** The same id and salt make it the same project, whoever looks. */
async function createOrFind(
  target: Forge,
  local: ProjectInfo,
  name: string | undefined,
  options: CallOptions,
): Promise<ProjectInfo> {
  const found = await findProject(target, local.id, options);
  if (found === undefined) return await createThere(target, local, name ?? local.name, options);
  if (name !== undefined && name !== found.name) {
    throw new MicError("already-exists", `the project is there already, as ${found.name}`, {
      hint: "publish it as that, and rename it with `mic project update`",
      data: { project: found.name },
    });
  }
  if (found.salt !== local.salt) {
    throw new MicError("different-lineage", `${found.name} has the same id and another lineage`, {
      hint: "publish to another forge",
    });
  }
  // A creation that was stopped before the name led to the project is finished by the same call again.
  const isNamed = (await findProject(target, found.name, options)) !== undefined;
  return isNamed ? found : await createThere(target, found, found.name, options);
}

async function createThere(
  target: Forge,
  { id, salt, description, visibility }: ProjectInfo,
  name: string,
  options: CallOptions,
): Promise<ProjectInfo> {
  try {
    return await target.createProject({ id, salt, name, description, visibility }, options);
  } catch (error) {
    // Only where the name is in the way another one helps; the id stays the project's.
    if (!isMicError(error, "already-exists") || error.data["project"] === undefined) throw error;
    throw new MicError("already-exists", error.message, {
      hint: "publishing makes the project there itself; choose another name for it with --as",
      cause: error,
      data: error.data,
    });
  }
}

async function findProject(
  target: Forge,
  nameOrId: string,
  options: CallOptions,
): Promise<ProjectInfo | undefined> {
  try {
    return await target.getProject(nameOrId, options);
  } catch (error) {
    if (!isMicError(error, "not-found")) throw error;
    return undefined;
  }
}

/** Until nothing is left to copy: another workspace of the source may land meanwhile. */
async function copyAll(ws: Workspace, context: CopyContext, allowSecrets: boolean): Promise<void> {
  const { source, target, project, options } = context;
  for (;;) {
    const ours = await source.getHead(project, options);
    const theirs = await target.getHead(project, options);
    await checkCommonHistory(context, ours, theirs);
    if (theirs.position >= ours.position) return;
    const { position: total } = ours;
    const onProgress = (done: Position): void =>
      ws.context.onProgress?.({ task: "publishing", done, total, unit: "positions" });
    onProgress(theirs.position);
    const reached: PositionRef = await copyHistory(
      context,
      { after: theirs, upTo: ours.position, allowSecrets },
      onProgress,
    );
    if (reached.root !== ours.root) {
      throw new MicError("corrupt", `position ${ours.position} has another tree in the other forge`);
    }
  }
}

/** One of the two is as far as the other, or further, on the same way. */
async function checkCommonHistory(
  { source, target, project, options }: CopyContext,
  ours: HeadInfo,
  theirs: HeadInfo,
): Promise<void> {
  const position = Math.min(ours.position, theirs.position) as Position;
  const [here, there] = await Promise.all([
    source.getPosition(project, position, options),
    target.getPosition(project, position, options),
  ]);
  if (here.root === there.root) return;
  throw new MicError("history-changed", `@${position} of the project there is another tree than here`, {
    hint: "somebody landed into it since it was published; clone it, and land this work on top",
    data: { position },
  });
}
