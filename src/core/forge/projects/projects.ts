/**
 * Projects: creation, lookup, change, deletion. The order of steps is what keeps a crash harmless: a project
 * gets its head and meta before a name points to it, a new name points to it before the meta says so, and the
 * meta is a tombstone before the names are.
 */
import { isMicError, MicError } from "../../base/errors.ts";
import { type ProjectId, parseProjectId } from "../../base/ids.ts";
import { formatProjectName, parseOrgName, parseProjectName } from "../../base/project-name.ts";
import { DESCRIPTION_BYTES_MAX, decodeMeta, encodeMeta, type ProjectMeta } from "../../codec/meta.ts";
import { metaKey, NAMES_PREFIX } from "../../objects/keys.ts";
import type { ForgeContext } from "../context.ts";
import type {
  CallOptions,
  CreatedProject,
  CreateProject,
  PageRequest,
  PartialPage,
  ProjectInfo,
  UpdateProject,
} from "../forge.ts";
import { swapLoop } from "../swap-loop.ts";
import { claimName, decodeFor, nameTaken, readName, retireName } from "./names.ts";
import { ensureOrganization } from "./organizations.ts";

const LIST_LIMIT_DEFAULT = 100;
const LIST_LIMIT_MAX = 1000;
/** Projects read at once. */
const READ_TOGETHER = 32;
const SALT_BYTES = 8;
const SALT = /^[0-9a-f]{16}$/;

/**
 * Errors: `usage` for an invalid name or salt, `already-exists` when the name or id is or was another project's, in
 * words that tell nothing of that one. The same call again, with the same id, returns the project as long as it has
 * that name.
 */
export async function createProject(
  context: ForgeContext,
  request: CreateProject,
  options: CallOptions = {},
): Promise<CreatedProject> {
  const { signal } = options;
  const id = parseProjectId(request.id);
  const name = formatProjectName(parseProjectName(request.name));
  const description = checkDescription(request.description ?? "");
  if (request.salt !== undefined && !SALT.test(request.salt)) {
    throw new MicError("usage", `${JSON.stringify(request.salt)} is not a salt (16 lowercase hex digits)`);
  }
  const [known, taken] = await Promise.all([findMeta(context, id, signal), readName(context, name, signal)]);
  if (known !== undefined && !isHere(known, name)) throw idTaken(id);
  if (taken !== undefined) {
    if (taken.project !== id || taken.state === "tombstone") throw nameTaken(name);
    if (known === undefined) throw projectNotFound(name);
    return { ...toInfo(known), isNew: false };
  }
  const salt = request.salt ?? Buffer.from(context.random.bytes(SALT_BYTES)).toString("hex");
  const head = await context.project(id).create({ salt });
  let made: ProjectMeta | undefined;
  const meta = await changeMeta(context, id, signal, (current) => {
    if (current !== undefined) return current;
    const createdAtMs = unixMs(context);
    const visibility = request.visibility ?? "private";
    const fresh = { id, name, description, visibility, salt: head.salt, createdAtMs };
    made = { ...fresh, deletedAtMs: 0, revision: 1, formerNames: [] };
    return made;
  });
  if (!isHere(meta, name)) throw idTaken(id);
  await ensureOrganization(context, parseProjectName(name).org, signal);
  await claimName(context, name, id, signal);
  return { ...toInfo(meta), isNew: isSame(meta, made) };
}

/** One text for every id that is or was another project's: whoever brings it learns nothing else. */
export function idTaken(id: ProjectId): MicError {
  return new MicError("already-exists", `the project id ${id} is taken`, {
    hint: "it is or was another project's; where that one is this one, ask its owners for a role in it",
  });
}

function isHere(meta: ProjectMeta, name: string): boolean {
  return meta.deletedAtMs === 0 && meta.name === name;
}

/** A swap without a definite answer may have been applied: then what is found is what this call sent. */
function isSame(meta: ProjectMeta, made: ProjectMeta | undefined): boolean {
  return (
    made !== undefined &&
    meta.createdAtMs === made.createdAtMs &&
    meta.salt === made.salt &&
    meta.description === made.description &&
    meta.visibility === made.visibility
  );
}

/** By `org/project`, former names included, or by id. `not-found` also for a deleted one. */
export async function getProject(
  context: ForgeContext,
  nameOrId: string,
  options: CallOptions = {},
): Promise<ProjectInfo> {
  if (!nameOrId.includes("/")) {
    return toInfo(await readMeta(context, parseProjectId(nameOrId), options.signal));
  }
  const record = await readName(context, nameOrId, options.signal);
  if (record === undefined || record.state === "tombstone") throw projectNotFound(nameOrId);
  return toInfo(await readMeta(context, record.project, options.signal));
}

/** In the order of names. What is damaged is left out, and named. */
export async function listProjects(
  context: ForgeContext,
  request: PageRequest & { readonly org?: string },
  options: CallOptions = {},
): Promise<PartialPage<ProjectInfo>> {
  const limit = Math.min(Math.max(1, request.limit ?? LIST_LIMIT_DEFAULT), LIST_LIMIT_MAX);
  const prefix = request.org === undefined ? NAMES_PREFIX : `${NAMES_PREFIX}${parseOrgName(request.org)}/`;
  const items: ProjectInfo[] = [];
  const damaged: string[] = [];
  const said = (): { readonly damaged?: readonly string[] } => (damaged.length === 0 ? {} : { damaged });
  let after = request.after === undefined ? undefined : NAMES_PREFIX + request.after;
  for (;;) {
    const page = await context.store.list(prefix, {
      ...(after === undefined ? {} : { after }),
      ...options,
    });
    for (let start = 0; start < page.objects.length; start += READ_TOGETHER) {
      const names = page.objects
        .slice(start, start + READ_TOGETHER)
        .map(({ key }) => key.slice(NAMES_PREFIX.length));
      const found = await Promise.all(names.map((name) => findListed(context, name, options.signal)));
      for (const info of found) {
        if (info === undefined) continue;
        if (items.length === limit) return { items, next: items.at(-1)!.name, ...said() };
        if (typeof info === "string") damaged.push(info);
        else items.push(info);
      }
    }
    if (page.next === undefined) return { items, ...said() };
    after = page.next;
  }
}

export async function updateProject(
  context: ForgeContext,
  project: ProjectId,
  request: UpdateProject,
  options: CallOptions = {},
): Promise<ProjectInfo> {
  const { signal } = options;
  const name = request.name === undefined ? undefined : formatProjectName(parseProjectName(request.name));
  if (request.description !== undefined) checkDescription(request.description);
  const before = await readMeta(context, project, signal);
  if (name !== undefined && name !== before.name) {
    await ensureOrganization(context, parseProjectName(name).org, signal);
    await claimName(context, name, project, signal);
  }
  const meta = await changeMeta(context, project, signal, (current) => {
    if (current === undefined || current.deletedAtMs !== 0) throw projectNotFound(project);
    return withChanges(current, name, request);
  });
  for (const former of meta.formerNames) await retireName(context, former, project, "redirect", signal);
  return toInfo(meta);
}

/** Errors: `not-found`, also when it was deleted before. */
export async function deleteProject(
  context: ForgeContext,
  project: ProjectId,
  options: CallOptions = {},
): Promise<void> {
  let done: ProjectMeta | undefined;
  const meta = await changeMeta(context, project, options.signal, (current) => {
    if (current === undefined || (current.deletedAtMs !== 0 && !sameDeletion(current, done))) {
      throw projectNotFound(project);
    }
    if (current.deletedAtMs !== 0) return current;
    done = { ...current, deletedAtMs: unixMs(context), revision: current.revision + 1 };
    return done;
  });
  for (const name of [meta.name, ...meta.formerNames]) {
    await retireName(context, name, project, "tombstone", options.signal);
  }
}

/** Meta of a project that exists. Errors: `not-found`, `corrupt`. */
export async function readMeta(
  context: ForgeContext,
  project: ProjectId,
  signal?: AbortSignal,
): Promise<ProjectMeta> {
  const meta = await findMeta(context, project, signal);
  if (meta === undefined) throw projectNotFound(project);
  if (meta.deletedAtMs !== 0) throw projectNotFound(meta.name);
  return meta;
}

/** Of one that was deleted, too. Errors: `corrupt`. */
async function findMeta(
  context: ForgeContext,
  project: ProjectId,
  signal: AbortSignal | undefined,
): Promise<ProjectMeta | undefined> {
  const stored = await context.store.get(metaKey(project), signal === undefined ? {} : { signal });
  return stored === undefined ? undefined : decodeMetaOf(project, stored.bytes);
}

export function decodeMetaOf(project: ProjectId, bytes: Uint8Array): ProjectMeta {
  const meta = decodeMeta(bytes);
  if (meta.id === project) return meta;
  throw new MicError("corrupt", `the meta of project ${project} is that of project ${meta.id}`);
}

function changeMeta(
  context: ForgeContext,
  project: ProjectId,
  signal: AbortSignal | undefined,
  change: (current: ProjectMeta | undefined) => ProjectMeta,
): Promise<ProjectMeta> {
  return swapLoop(context, {
    key: metaKey(project),
    what: `the meta of project ${project}`,
    decode: (bytes) => decodeMetaOf(project, bytes),
    encode: encodeMeta,
    change,
    signal,
  });
}

function withChanges(current: ProjectMeta, name: string | undefined, request: UpdateProject): ProjectMeta {
  const next = {
    name: name ?? current.name,
    description: request.description ?? current.description,
    visibility: request.visibility ?? current.visibility,
  };
  const renamed = next.name !== current.name;
  const same = !renamed && next.description === current.description && next.visibility === current.visibility;
  if (same) return current;
  const formerNames = renamed
    ? [...current.formerNames.filter((former) => former !== next.name), current.name]
    : current.formerNames;
  return { ...current, ...next, formerNames, revision: current.revision + 1 };
}

/** A swap without a definite answer may have been applied: then the tombstone that is found is our own. */
function sameDeletion(current: ProjectMeta, done: ProjectMeta | undefined): boolean {
  return current.deletedAtMs === done?.deletedAtMs && current.revision === done.revision;
}

/** The project listed under a name, unless the name is a former one or the project is gone; its name when damaged. */
async function findListed(
  context: ForgeContext,
  name: string,
  signal: AbortSignal | undefined,
): Promise<ProjectInfo | string | undefined> {
  try {
    return await readListed(context, name, signal);
  } catch (error) {
    if (!isMicError(error, "corrupt") && !isMicError(error, "unsupported")) throw error;
    return name;
  }
}

async function readListed(
  context: ForgeContext,
  name: string,
  signal: AbortSignal | undefined,
): Promise<ProjectInfo | undefined> {
  const options = signal === undefined ? {} : { signal };
  const stored = await context.store.get(NAMES_PREFIX + name, options);
  if (stored === undefined) return undefined;
  const record = decodeFor(name, stored.bytes);
  if (record.state === "tombstone") return undefined;
  const meta = await context.store.get(metaKey(record.project), options);
  if (meta === undefined) return undefined;
  const decoded = decodeMetaOf(record.project, meta.bytes);
  return decoded.deletedAtMs === 0 && decoded.name === name ? toInfo(decoded) : undefined;
}

function toInfo(meta: ProjectMeta): ProjectInfo {
  const { id, name, description, visibility, createdAtMs, salt } = meta;
  return { id, name, description, visibility, createdAtMs, salt };
}

/** A whole number above 0: a stored 0 says "not yet". */
function unixMs(context: ForgeContext): number {
  return Math.max(1, Math.floor(context.clock.nowMs()));
}

function checkDescription(text: string): string {
  if (Buffer.byteLength(text) <= DESCRIPTION_BYTES_MAX) return text;
  throw new MicError("too-large", `a description is at most ${DESCRIPTION_BYTES_MAX} bytes`);
}

export function projectNotFound(name: string): MicError {
  return new MicError("not-found", `there is no project ${name}`, {
    hint: "check the name, or list projects with `mic project list`",
  });
}
