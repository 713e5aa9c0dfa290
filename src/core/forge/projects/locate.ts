/**
 * Which project is meant, for whoever checks or repairs it: its head is not asked, and whatever record still says so
 * is believed.
 */
import { throwIfAborted } from "../../base/clock.ts";
import { isMicError, MicError } from "../../base/errors.ts";
import { type ProjectId, parseProjectId } from "../../base/ids.ts";
import type { NameRecord } from "../../codec/name.ts";
import { metaKey, PROJECTS_PREFIX, projectOfKey } from "../../objects/keys.ts";
import type { ForgeContext } from "../context.ts";
import type { CallOptions } from "../forge.ts";
import { readName } from "./names.ts";
import { decodeMetaOf, projectNotFound } from "./projects.ts";

/** Where a store keeps a project: what names one of which no record is left. */
const PLACE = /^projects\/([0-9a-f]{32})$/;
/** Metas that are read at once. */
const READ_TOGETHER = 32;

/**
 * By `org/project`, by id, or by `projects/{id}`. Where the name's record is missing or damaged every meta of the forge
 * is asked for the name. Errors: `not-found`, also for a name that was deleted; `corrupt` for a record that is damaged
 * where no meta has the name, or several have.
 */
export async function locateProject(
  context: ForgeContext,
  nameOrId: string,
  options: CallOptions = {},
): Promise<ProjectId> {
  if (!nameOrId.includes("/")) return parseProjectId(nameOrId);
  const record = await readSoundName(context, nameOrId, options.signal);
  if (record !== undefined && "project" in record) {
    if (record.state === "tombstone") throw projectNotFound(nameOrId);
    return record.project;
  }
  const place = PLACE.exec(nameOrId)?.[1];
  if (place !== undefined) return parseProjectId(place);
  const [found, ...others] = await projectsNamed(context, nameOrId, options);
  if (found === undefined) throw record?.damage ?? projectNotFound(nameOrId);
  if (others.length === 0) return found;
  const ids = [found, ...others];
  throw new MicError(
    "corrupt",
    `nothing tells which of ${ids.length} projects ${nameOrId} is: ${ids.join(", ")}`,
    {
      hint: "check one of them by its place, projects/ID; put the record of the name back from a backup",
      data: { projects: ids },
    },
  );
}

async function readSoundName(
  context: ForgeContext,
  name: string,
  signal: AbortSignal | undefined,
): Promise<NameRecord | { readonly damage: MicError } | undefined> {
  try {
    return await readName(context, name, signal);
  } catch (error) {
    if (!isMicError(error, "corrupt") && !isMicError(error, "unsupported")) throw error;
    return { damage: error };
  }
}

/**
 * Projects whose metas say that a name is or was theirs. Besides the one that has it there may be others: their creation
 * ended before they got it, or they came second.
 */
export async function projectsNamed(
  context: Pick<ForgeContext, "store">,
  name: string,
  { signal }: CallOptions,
): Promise<readonly ProjectId[]> {
  const options = signal === undefined ? {} : { signal };
  const hasName = async (project: ProjectId): Promise<boolean> => {
    const stored = await context.store.get(metaKey(project), options);
    if (stored === undefined) return false;
    try {
      const meta = decodeMetaOf(project, stored.bytes);
      return meta.deletedAtMs === 0 && (meta.name === name || meta.formerNames.includes(name));
    } catch (error) {
      if (!isMicError(error, "corrupt") && !isMicError(error, "unsupported")) throw error;
      return false;
    }
  };
  const found: ProjectId[] = [];
  for await (const projects of storedProjects(context, signal)) {
    const answers = await Promise.all(projects.map(hasName));
    found.push(...projects.filter((_, i) => answers[i]));
  }
  return found;
}

/** Every project of which anything is stored: one short listing for each. */
async function* storedProjects(
  { store }: Pick<ForgeContext, "store">,
  signal: AbortSignal | undefined,
): AsyncIterable<readonly ProjectId[]> {
  let together: ProjectId[] = [];
  for (let after = PROJECTS_PREFIX; ; ) {
    throwIfAborted(signal);
    const { objects } = await store.list(PROJECTS_PREFIX, {
      after,
      limit: 1,
      ...(signal === undefined ? {} : { signal }),
    });
    const [object] = objects;
    if (object === undefined) break;
    const project = projectOfKey(object.key);
    // "0" follows "/": past everything below it. What is no project's is passed over one by one.
    after = project === undefined ? object.key : `${PROJECTS_PREFIX}${project}0`;
    if (project === undefined) continue;
    together.push(project);
    if (together.length < READ_TOGETHER) continue;
    yield together;
    together = [];
  }
  if (together.length > 0) yield together;
}
