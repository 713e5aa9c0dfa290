/**
 * The one place that says what a caller may do. An endpoint names its `Access`; adapters call `admit` before they
 * read the request, and handlers reach a project or an organization only through `project` and `organization`.
 *
 * A project that the caller may not see and one that is not there get the same error, at the same time after the
 * question. What is remembered answers only callers who may see it. For others the store is asked for the same number
 * of objects, one after the other, whether or not they are there; the answer then waits until as long has passed as for
 * the slowest such answer of late, to a multiple of HIDING_MS: a store may take longer for what it has.
 */
import type { Clock } from "../../core/base/clock.ts";
import { isMicError, MicError } from "../../core/base/errors.ts";
import { type ProjectId, parseProjectId } from "../../core/base/ids.ts";
import { parseOrgName, parseProjectName } from "../../core/base/project-name.ts";
import type { Forge, OrganizationInfo, Page, PageRequest, ProjectInfo } from "../../core/forge/forge.ts";
import type { Access } from "./access.ts";
import type { Accounts } from "./accounts.ts";
import type { Principal, Role, Scope } from "./principal.ts";
import { SealedCursors } from "./sealed-cursors.ts";
import { seenOrganizations } from "./seen-organizations.ts";

export const HIDING_MS = 25;
const SLOWEST_MS = 60_000;
/** Of one that the store kept waiting: nobody else waits longer for it. */
const SLOWEST_TAKEN_MS = 2_000;
/** How long another server's change of a project's name or visibility may go unseen by new calls; by running ones, twice. */
export const INFO_MS = 1_000;
const REMEMBERED_MAX = 10_000;
/** Pages that one call for a list reads to find what the caller may see. */
const PAGES_MAX = 20;
const PAGE_ITEMS_MAX = 1_000;
/** Of a list, looked at together to find one that the caller sees. */
const SEEN_TOGETHER = 100;
const ID = /^[0-9a-f]{32}$/;
/** Asked for in the place of a project that is not there. */
const NO_PROJECT = "0".repeat(32) as ProjectId;

const RANK: Readonly<Record<Role, number>> = { read: 1, write: 2, owner: 3 };
const SCOPE_RANK: Readonly<Record<Scope, number>> = { read: 1, write: 2, admin: 3 };
/** Of a role, by the end of the access's name. */
const NEED: Readonly<Record<string, number>> = { read: 1, write: 2, own: 3 };

/** Of the token, for those who have signed in. */
const NEEDED_SCOPE: Readonly<
  Record<Exclude<Access, "anyone" | "project-read" | "organization-read">, Scope>
> = {
  "signed-in": "read",
  "signed-in-write": "write",
  account: "admin",
  "site-admin": "admin",
  "site-read": "read",
  "project-write": "write",
  "project-own": "admin",
  "organization-own": "admin",
};
const NOT_FOR_ONE_PROJECT: ReadonlySet<Access> = new Set([
  "signed-in-write",
  "account",
  "site-admin",
  "site-read",
]);

interface Remembered {
  readonly info: ProjectInfo;
  readonly atMs: number;
}

export interface AuthorizerOptions {
  readonly forge: Forge;
  readonly accounts: Pick<Accounts, "roleIn" | "roleInOrganization" | "isNameTaken" | "onRolesChanged">;
  readonly clock: Clock;
  /** Default: what only this process understands. */
  readonly cursors?: SealedCursors;
}

export class Authorizer {
  readonly #forge: Forge;
  readonly #accounts: AuthorizerOptions["accounts"];
  readonly #clock: Clock;
  readonly #cursors: SealedCursors;
  readonly #ids = new Map<string, ProjectId>();
  readonly #infos = new Map<ProjectId, Remembered>();
  readonly #listeners = new Set<() => void>();
  /** Lookups for calls that are running: one for all of a project's. */
  readonly #looking = new Map<ProjectId, Promise<ProjectInfo | undefined>>();
  #isGoingRound = false;
  /** Lookups of what the caller may not see, or is not there. */
  readonly #slowest = new Slowest();

  constructor({ forge, accounts, clock, cursors }: AuthorizerOptions) {
    this.#forge = forge;
    this.#accounts = accounts;
    this.#clock = clock;
    this.#cursors = cursors ?? new SealedCursors();
    accounts.onRolesChanged(() => this.#changed());
  }

  /**
   * Calls `listener` whenever somebody may have come to be allowed less: after every change that is known here, and
   * each INFO_MS for what others changed in the store. Returns what ends it.
   */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    if (!this.#isGoingRound) void this.#goRound();
    return () => void this.#listeners.delete(listener);
  }

  async #goRound(): Promise<void> {
    this.#isGoingRound = true;
    while (this.#listeners.size > 0) {
      await this.#clock.sleep(INFO_MS);
      this.#changed();
    }
    this.#isGoingRound = false;
  }

  /**
   * What can be said before the request is read. Errors: `unauthenticated` where nobody has signed in, `forbidden`
   * where the token cannot do it whatever it is asked for.
   */
  admit(principal: Principal, access: Access): void {
    if (access === "anyone" || access === "project-read" || access === "organization-read") return;
    if (principal.userId === undefined) throw signInFirst();
    const needed = NEEDED_SCOPE[access];
    if (SCOPE_RANK[principal.scope] < SCOPE_RANK[needed]) throw scopeTooSmall(principal, needed);
    if (NOT_FOR_ONE_PROJECT.has(access) && principal.onlyProject !== undefined) {
      throw new MicError("forbidden", "the token is for one project only", {
        hint: "use another token, or sign in: mic auth login",
      });
    }
    if ((access === "site-admin" || access === "site-read") && !principal.isSiteAdmin) {
      throw new MicError("forbidden", "only administrators of the site may do this");
    }
  }

  /**
   * The id of the project that `text` names, by id or by a present or former name. Errors: `not-found` where it is
   * not there and where the caller may not see it, `unauthenticated` instead of it for nobody; `forbidden` for one
   * that the caller sees and may not do this with; `usage`.
   */
  project(
    principal: Principal,
    access: Access,
    text: string,
    signal?: AbortSignal,
  ): ProjectId | Promise<ProjectId> {
    const id = ID.test(text) ? (text as ProjectId) : this.#ids.get(text);
    const need = needOf(access);
    // Most calls end here: no store is asked, nothing is awaited.
    if (id !== undefined && this.#knownRank(principal, id) >= need) return id;
    return this.#decide(principal, need, text, signal);
  }

  /**
   * Whether `project` would refuse now, for a call that is running; undefined where it would not. Nobody learns when
   * this is answered: the lookups of all who ask at once are one. Errors: those of the store.
   */
  async refusal(principal: Principal, access: Access, project: ProjectId): Promise<MicError | undefined> {
    const need = needOf(access);
    if (this.#knownRank(principal, project) >= need) return undefined;
    let looking = this.#looking.get(project);
    if (looking === undefined) {
      const own = this.#read(project, undefined).finally(() => {
        if (this.#looking.get(project) === own) this.#looking.delete(project);
      });
      this.#looking.set(project, own);
      looking = own;
    }
    const info = await looking;
    const rank = this.#rankIn(principal, info);
    return rank >= need ? undefined : refused(principal, project, info, rank);
  }

  /** Whether `project` would give its id. */
  may(principal: Principal, access: Access, info: ProjectInfo): boolean {
    return this.#rankIn(principal, info) >= needOf(access);
  }

  /** Errors: as of `project`. */
  async organization(principal: Principal, access: Access, name: string): Promise<string> {
    parseOrgName(name);
    const need = needOf(access);
    const rank = this.#organizationRank(principal, name);
    if (rank >= need) return name;
    const startedMs = this.#clock.nowMs();
    const isSeen = rank > 0 || (await this.#seesProjectOf(principal, name, true));
    if (isSeen && need === NEED["read"]) return name;
    if (isSeen) throw roleTooSmall(name);
    await this.#hide(startedMs);
    if (principal.userId === undefined) throw signInFirst();
    throw noSuchOrganization(name);
  }

  /**
   * Refuses a caller who may not make the project or organization `name`. True when its organization is nobody's and
   * is not there: it is to be claimed, and made, as well. Errors: those of `admit`, `forbidden`, `already-exists`.
   */
  async create(principal: Principal, name: string): Promise<boolean> {
    this.admit(principal, "signed-in-write");
    const isProject = name.includes("/");
    const org = isProject ? parseProjectName(name).org : parseOrgName(name);
    const isTaken = this.#accounts.isNameTaken(org, principal.userId);
    // Whoever may write in an organization that has no record yet is still not the one to make it.
    if (this.#organizationRank(principal, org) >= NEED[isProject ? "write" : "own"]!) {
      return !isTaken && !(await this.#organizationExists(org));
    }
    if (!isTaken && !(await this.#organizationExists(org))) return true;
    if (!isProject) {
      throw new MicError("already-exists", `the name ${org} is taken`, { hint: "choose another one" });
    }
    throw new MicError("forbidden", `you may not create projects in ${org}`, {
      hint: "ask an owner of the organization for the role `write`, or use a name that is free",
    });
  }

  /**
   * A page of what `list` gives, with what the caller may not see left out. Pages may be shorter than asked for; their
   * `next` tells no name that is not on them. Errors: `usage` for an `after` that is none.
   */
  async visible<T extends { readonly name: string }>(
    request: PageRequest,
    list: (request: PageRequest) => Promise<Page<T>>,
    choose: (items: readonly T[]) => readonly T[] | Promise<readonly T[]>,
  ): Promise<Page<T>> {
    const limit = Math.min(request.limit ?? 100, PAGE_ITEMS_MAX);
    const items: T[] = [];
    let after = request.after === undefined ? undefined : this.#cursors.open(request.after);
    for (let pages = 0; pages < PAGES_MAX; pages++) {
      // Whoever chooses where a list begins finds out names by trying, wherever it may end before it found something.
      const least = pages === 0 ? 0 : Math.min(PAGE_ITEMS_MAX, SEEN_TOGETHER << (pages - 1));
      const page = await list({
        ...(after === undefined ? {} : { after }),
        limit: Math.max(limit - items.length, least),
      });
      items.push(...(await choose(page.items)));
      after = page.next;
      if (items.length > limit) {
        items.length = limit;
        after = items.at(-1)!.name;
      }
      if (after === undefined || items.length >= limit) break;
    }
    if (after === undefined) return { items };
    return { items, next: after === items.at(-1)?.name ? after : this.#cursors.seal(after) };
  }

  seesProject(principal: Principal, info: ProjectInfo): boolean {
    return this.#rankIn(principal, info) > 0;
  }

  /** Those of a page that the caller may see: members, and whoever sees one of its projects. */
  async seenOf(
    principal: Principal,
    page: readonly OrganizationInfo[],
    signal?: AbortSignal,
  ): Promise<readonly OrganizationInfo[]> {
    const others = page.flatMap(({ name }) => (this.#organizationRank(principal, name) > 0 ? [] : [name]));
    const options = signal === undefined ? {} : { signal };
    const seen = await seenOrganizations(
      others,
      (request) => this.#forge.listProjects(request, options),
      (info) => this.seesProject(principal, info),
    );
    const hidden = new Set(others.filter((name) => !seen.has(name)));
    return page.filter(({ name }) => !hidden.has(name));
  }

  /** Its name or visibility was changed here. */
  forget(project: ProjectId): void {
    this.#infos.delete(project);
    this.#looking.delete(project);
    this.#changed();
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  async #decide(
    principal: Principal,
    need: number,
    text: string,
    signal: AbortSignal | undefined,
  ): Promise<ProjectId> {
    const isId = ID.test(text);
    if (!isId) {
      if (text.includes("/")) parseProjectName(text);
      else parseProjectId(text);
    }
    const known = this.#known((isId ? text : this.#ids.get(text)) as ProjectId);
    if (known !== undefined) {
      const rank = this.#rankIn(principal, known);
      if (rank >= need) return known.id;
      if (rank > 0) throw refused(principal, text, known, rank);
    }
    const startedMs = this.#clock.nowMs();
    const info = await this.#read(text, signal);
    const rank = this.#rankIn(principal, info);
    if (info !== undefined && rank >= need) return info.id;
    // A name takes one request and what it names another one.
    if (info === undefined && !isId) await this.#read(NO_PROJECT, signal);
    if (rank === 0) await this.#hide(startedMs);
    throw refused(principal, text, info, rank);
  }

  async #read(text: string, signal: AbortSignal | undefined): Promise<ProjectInfo | undefined> {
    const nowMs = this.#clock.nowMs();
    try {
      const info = await this.#forge.getProject(text, signal === undefined ? {} : { signal });
      this.#remember(text, info, nowMs);
      return info;
    } catch (error) {
      if (isMicError(error, "not-found")) return undefined;
      throw error;
    }
  }

  /** Not older than INFO_MS. */
  #known(project: ProjectId | undefined): ProjectInfo | undefined {
    const known = project === undefined ? undefined : this.#infos.get(project);
    if (known === undefined || Math.abs(this.#clock.nowMs() - known.atMs) >= INFO_MS) return undefined;
    return known.info;
  }

  /** A name never means another project than the one it meant first. */
  #remember(text: string, info: ProjectInfo, atMs: number): void {
    if (this.#infos.size >= REMEMBERED_MAX) this.#infos.clear();
    this.#infos.set(info.id, { info, atMs });
    if (ID.test(text)) return;
    if (this.#ids.size >= REMEMBERED_MAX) this.#ids.clear();
    this.#ids.set(text, info.id);
  }

  /** 0: nothing that is known without asking the store. */
  #knownRank(principal: Principal, project: ProjectId): number {
    if (principal.isSiteAdmin && principal.onlyProject === undefined) return SCOPE_RANK[principal.scope];
    return this.#rankIn(principal, this.#known(project));
  }

  /** 0: the caller does not see it, or it is not there. */
  #rankIn(principal: Principal, info: ProjectInfo | undefined): number {
    if (info === undefined) return 0;
    const rank = this.#rank(principal, info.id, orgOf(info));
    return rank === 0 && info.visibility === "public" ? NEED["read"]! : rank;
  }

  #rank(principal: Principal, project: ProjectId, organization: string): number {
    const { userId, onlyProject, isSiteAdmin } = principal;
    if (userId === undefined || (onlyProject !== undefined && onlyProject !== project)) return 0;
    const role = isSiteAdmin ? "owner" : this.#accounts.roleIn(userId, project, organization);
    return role === undefined ? 0 : Math.min(RANK[role], SCOPE_RANK[principal.scope]);
  }

  #organizationRank(principal: Principal, name: string): number {
    const { userId, onlyProject, isSiteAdmin } = principal;
    if (userId === undefined || onlyProject !== undefined) return 0;
    const role = isSiteAdmin ? "owner" : this.#accounts.roleInOrganization(userId, name);
    return role === undefined ? 0 : Math.min(RANK[role], SCOPE_RANK[principal.scope]);
  }

  async #seesProjectOf(principal: Principal, org: string, isTimed = false): Promise<boolean> {
    let isEmpty = true;
    const list = async (request: PageRequest): Promise<Page<ProjectInfo>> => {
      const page = await this.#forge.listProjects({ ...request, limit: SEEN_TOGETHER, org });
      if (page.items.length > 0) isEmpty = false;
      return page;
    };
    const found = await this.visible({ limit: 1 }, list, (page) =>
      page.filter((info) => this.seesProject(principal, info)),
    );
    if (isEmpty && isTimed) {
      // The names and metas of a listing's projects are read together: it takes as long as one project's.
      await this.#read(`${org}/${NO_PROJECT}`, undefined);
      await this.#read(NO_PROJECT, undefined);
    }
    return found.items.length > 0;
  }

  async #organizationExists(name: string): Promise<boolean> {
    try {
      await this.#forge.getOrganization(name);
      return true;
    } catch (error) {
      if (isMicError(error, "not-found")) return false;
      throw error;
    }
  }

  async #hide(startedMs: number): Promise<void> {
    const nowMs = this.#clock.nowMs();
    const passedMs = Math.max(0, nowMs - startedMs);
    const untilMs = Math.max(passedMs, this.#slowest.with(passedMs, nowMs));
    await this.#clock.sleep((Math.floor(untilMs / HIDING_MS) + 1) * HIDING_MS - passedMs);
  }
}

/** The longest of what was measured in this and the last SLOWEST_MS. */
class Slowest {
  #sinceMs = 0;
  #now = 0;
  #before = 0;

  with(durationMs: number, nowMs: number): number {
    const rounds = Math.floor(Math.abs(nowMs - this.#sinceMs) / SLOWEST_MS);
    if (rounds > 0) {
      this.#before = rounds === 1 ? this.#now : 0;
      this.#now = 0;
      this.#sinceMs = nowMs;
    }
    this.#now = Math.max(this.#now, Math.min(durationMs, SLOWEST_TAKEN_MS));
    return Math.max(this.#now, this.#before);
  }
}

/** `rank`: of the caller, too small, in a project that may not be there. */
function refused(principal: Principal, text: string, info: ProjectInfo | undefined, rank: number): MicError {
  if (principal.userId === undefined) return signInFirst();
  return info === undefined || rank === 0 ? noSuchProject(text) : roleTooSmall(text);
}

function needOf(access: Access): number {
  return NEED[access.slice(access.indexOf("-") + 1)] ?? NEED["read"]!;
}

function orgOf({ name }: ProjectInfo): string {
  return name.slice(0, name.indexOf("/"));
}

export function noSuchProject(text: string): MicError {
  return new MicError("not-found", `there is no project ${JSON.stringify(text.slice(0, 200))}`, {
    hint: "check its name, and whether you may see it: `mic project list`",
  });
}

function noSuchOrganization(name: string): MicError {
  return new MicError("not-found", `there is no organization ${name}`, {
    hint: "check its name, and whether you may see it: `mic org list`",
  });
}

export function signInFirst(): MicError {
  return new MicError("unauthenticated", "this needs a token", {
    hint: "send `authorization: Bearer TOKEN`, or sign in: `mic auth login --server URL`",
  });
}

function scopeTooSmall({ scope }: Principal, needed: Scope): MicError {
  return new MicError("forbidden", `the token's scope is \`${scope}\`, and this needs \`${needed}\``, {
    hint: `sign in for it: mic auth login --scope ${needed}, or use a token of that scope`,
  });
}

function roleTooSmall(what: string): MicError {
  return new MicError("forbidden", `your role in ${what.slice(0, 200)} does not allow this`, {
    hint: "ask one of its owners",
  });
}
