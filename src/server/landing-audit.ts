/** Writes down whose call brought what into a project, before it is answered. */
import { type ErrorCode, isMicError } from "../core/base/errors.ts";
import type { LandingId, Position, ProjectId } from "../core/base/ids.ts";
import type { HeadInfo, ImportLandings, LandResult, Session } from "../core/forge/forge.ts";
import type { Principal } from "./auth/principal.ts";
import type { ServerContext } from "./context.ts";

export interface LandingCaller {
  readonly context: Pick<ServerContext, "landingLog">;
  readonly principal: Principal;
  readonly address: string;
}

/** After these the landing may be in the project, or come to be. */
const UNDECIDED: ReadonlySet<ErrorCode> = new Set(["outcome-unknown", "aborted", "unreachable", "internal"]);
/** Of the authors of an import. */
const AUTHORS_NAMED = 10;
/** Of an author or an agent: it says who it is, and history has all of it. */
const STATED_CHARACTERS_MAX = 200;

/** Runs `land`. Errors: its own. */
export async function auditedLanding(
  caller: LandingCaller,
  project: ProjectId,
  wanted: { readonly landingId: LandingId; readonly author: string; readonly agent: string },
  land: () => Promise<LandResult>,
): Promise<LandResult> {
  const { principal, context } = caller;
  const { landingId } = wanted;
  const [author, agent] = [shortened(wanted.author), shortened(wanted.agent)];
  const stated = agent === "" ? { author } : { author, agent };
  let result: LandResult;
  try {
    result = await land();
  } catch (error) {
    if (isUndecided(error)) {
      const entry = { action: "landing.unknown", project, landingId, detail: stated } as const;
      await context.landingLog.record({ principal, address: caller.address, ...entry });
    }
    throw error;
  }
  if (result.kind === "landed") {
    const { position } = result;
    const entry = { action: "landing.created", project, position, landingId, detail: stated } as const;
    await context.landingLog.record({ principal, address: caller.address, ...entry });
  }
  return result;
}

/** Runs `importAll`. One record, however many landings. Errors: its own. */
export async function auditedImport(
  caller: LandingCaller,
  project: ProjectId,
  { after, landings, allowSecrets }: ImportLandings,
  importAll: () => Promise<HeadInfo>,
): Promise<HeadInfo> {
  const position = (after.position + landings.length) as Position;
  const authors = [...new Set(landings.map(({ author }) => author))];
  const about = {
    from: after.position + 1,
    landings: landings.length,
    ...(allowSecrets === true ? { allowSecrets } : {}),
    authors: authors.slice(0, AUTHORS_NAMED).map(shortened),
    ...(authors.length > AUTHORS_NAMED ? { moreAuthors: authors.length - AUTHORS_NAMED } : {}),
  };
  const { principal, address, context } = caller;
  const entry = { principal, address, action: "import.done", project, position } as const;
  try {
    const head = await importAll();
    await context.landingLog.record({ ...entry, detail: about });
    return head;
  } catch (error) {
    if (isUndecided(error))
      await context.landingLog.record({ ...entry, detail: { ...about, unknown: true } });
    throw error;
  }
}

export async function recordImportedSession(
  { principal, address, context }: LandingCaller,
  project: ProjectId,
  { id, owner }: Session,
): Promise<void> {
  const detail = { session: id, owner: shortened(owner) };
  await context.landingLog.record({ principal, address, action: "session.imported", project, detail });
}

function shortened(text: string): string {
  return text.length <= STATED_CHARACTERS_MAX ? text : `${text.slice(0, STATED_CHARACTERS_MAX)}…`;
}

function isUndecided(error: unknown): boolean {
  return !isMicError(error) || UNDECIDED.has(error.code);
}
