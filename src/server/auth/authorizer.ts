/**
 * The one place that says what a caller may do. An endpoint names its `Access`; adapters call `admit` before they
 * read the request, and handlers reach a project or an organization only through `project` and `organization`.
 *
 * A project that the caller may not see and one that is not there get the same error, at the same time after the
 * question: what looking them up takes differs, so every such answer waits for the next multiple of HIDING_MS.
 */
import type { Clock } from "../../core/base/clock.ts";
import { isMicError, MicError } from "../../core/base/errors.ts";
import { type ProjectId, parseProjectId } from "../../core/base/ids.ts";
import { parseOrgName, parseProjectName } from "../../core/base/project-name.ts";
import type { Forge, Page, PageRequest, ProjectInfo } from "../../core/forge/forge.ts";
import type { Access } from "./access.ts";
import type { Accounts } from "./accounts.ts";
import type { Principal, Role, Scope } from "./principal.ts";

export const HIDING_MS = 25;
/** How long another server's change of a project's name or visibility may go unseen. */
const INFO_MS = 1_000;
const REMEMBERED_MAX = 10_000;
/** Pages that one call for a list reads to find what the caller may see. */
const PAGES_MAX = 20;
const PAGE_ITEMS_MAX = 1_000;
const ID = /^[0-9a-f]{32}$/;

const RANK: Readonly<Record<Role, number>> = { read: 1, write: 2, owner: 3 };
const SCOPE_RANK: Readonly<Record<Scope, number>> = { read: 1, write: 2, admin: 3 };
/** Of a role, by the end of the access's name. */
const NEED: Readonly<Record<string, number>> = { read: 1, write: 2, own: 3 };

interface Remembered {
  readonly info: ProjectInfo;
  readonly atMs: number;
}

export interface AuthorizerOptions {
  readonly forge: Forge;
  readonly accounts: Pick<Accounts, "roleIn" | "roleInOrganization" | "isNameTaken" | "onRolesChanged">;
  readonly clock: Clock;
}

export class Authorizer {
  readonly #forge: Forge;
  readonly #accounts: AuthorizerOptions["accounts"];
  readonly #clock: Clock;
  readonly #ids = new Map<string, ProjectId>();
  readonly #infos = new Map<ProjectId, Remembered>();
  readonly #listeners = new Set<() => void>();

  constructor({ forge, accounts, clock }: AuthorizerOptions) {
    this.#forge = forge;
    this.#accounts = accounts;
    this.#clock = clock;
    accounts.onRolesChanged(() => this.#changed());
  }

  /** Calls `listener` whenever somebody may have come to be allowed less. Returns what ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * What can be said before the request is read. Errors: `unauthenticated` where nobody has signed in, `forbidden`
   * where the token cannot do it whatever it is asked for.
   */
  admit(principal: Principal, access: Access): void {
    if (access === "anyone" || access === "project-read" || access === "organization-read") return;
    if (principal.userId === undefined) throw signInFirst();
    const scope = SCOPE_RANK[principal.scope];
    switch (access) {
      case "signed-in":
        return;
      case "signed-in-write":
      case "account":
      case "site-admin":
        if (scope < (access === "signed-in-write" ? SCOPE_RANK.write : SCOPE_RANK.admin)) {
          throw scopeTooSmall(principal, access === "signed-in-write" ? "write" : "admin");
        }
        if (principal.onlyProject !== undefined) {
          throw new MicError("forbidden", "the token is for one project only", {
            hint: "use another token, or sign in: mic auth login",
          });
        }
        if (access === "site-admin" && !principal.isSiteAdmin) {
          throw new MicError("forbidden", "only administrators of the site may do this");
        }
        return;
      default: {
        const need = needOf(access);
        if (scope < need) throw scopeTooSmall(principal, need === 2 ? "write" : "admin");
      }
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

  /** Errors: as of `project`. */
  async organization(principal: Principal, access: Access, name: string): Promise<string> {
    parseOrgName(name);
    const need = needOf(access);
    const rank = this.#organizationRank(principal, name);
    if (rank >= need) return name;
    const startedMs = this.#clock.nowMs();
    const isSeen = rank > 0 || (await this.#seesProjectOf(principal, name));
    if (isSeen && need === NEED["read"]) return name;
    if (isSeen) throw roleTooSmall(name);
    await this.#hide(startedMs);
    if (principal.userId === undefined) throw signInFirst();
    throw noSuchOrganization(name);
  }

  /**
   * Refuses a caller who may not make the project or organization `name`. True when its organization is to be made
   * as well. Errors: `forbidden`, `already-exists`.
   */
  async create(principal: Principal, name: string): Promise<boolean> {
    const org = name.includes("/") ? parseProjectName(name).org : parseOrgName(name);
    if (this.#organizationRank(principal, org) >= NEED["write"]!) {
      return name.includes("/") && !(await this.#organizationExists(org));
    }
    const exists = this.#accounts.isNameTaken(org) || (await this.#organizationExists(org));
    if (!exists) return true;
    if (!name.includes("/")) {
      throw new MicError("already-exists", `the name ${org} is taken`, { hint: "choose another one" });
    }
    throw new MicError("forbidden", `you may not create projects in ${org}`, {
      hint: "ask an owner of the organization for the role `write`, or use a name that is free",
    });
  }

  /** A page of what `list` gives, with what the caller may not see left out. Pages may be shorter than asked for. */
  async visible<T>(
    request: PageRequest,
    list: (request: PageRequest) => Promise<Page<T>>,
    isVisible: (item: T) => boolean | Promise<boolean>,
  ): Promise<Page<T>> {
    const limit = Math.min(request.limit ?? 100, PAGE_ITEMS_MAX);
    const items: T[] = [];
    let after = request.after;
    for (let pages = 0; pages < PAGES_MAX; pages++) {
      const page = await list({ ...(after === undefined ? {} : { after }), limit: limit - items.length });
      for (const item of page.items) if (await isVisible(item)) items.push(item);
      after = page.next;
      if (after === undefined || items.length >= limit) break;
    }
    return { items, ...(after === undefined ? {} : { next: after }) };
  }

  seesProject(principal: Principal, info: ProjectInfo): boolean {
    return info.visibility === "public" || this.#rank(principal, info.id, orgOf(info)) > 0;
  }

  async seesOrganization(principal: Principal, name: string): Promise<boolean> {
    return this.#organizationRank(principal, name) > 0 || (await this.#seesProjectOf(principal, name));
  }

  /** Its name or visibility was changed here. */
  forget(project: ProjectId): void {
    this.#infos.delete(project);
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
    if (!ID.test(text)) {
      if (text.includes("/")) parseProjectName(text);
      else parseProjectId(text);
    }
    const startedMs = this.#clock.nowMs();
    const info = await this.#find(text, signal);
    const rank = info === undefined ? 0 : this.#rank(principal, info.id, orgOf(info));
    if (info !== undefined) {
      if (rank >= need || (need === NEED["read"] && info.visibility === "public")) return info.id;
      if (rank > 0 || info.visibility === "public") {
        if (principal.userId === undefined) throw signInFirst();
        throw roleTooSmall(text);
      }
    }
    await this.#hide(startedMs);
    if (principal.userId === undefined) throw signInFirst();
    throw noSuchProject(text);
  }

  async #find(text: string, signal: AbortSignal | undefined): Promise<ProjectInfo | undefined> {
    const known = this.#infos.get((ID.test(text) ? text : this.#ids.get(text)) as ProjectId);
    const nowMs = this.#clock.nowMs();
    if (known !== undefined && Math.abs(nowMs - known.atMs) < INFO_MS) return known.info;
    try {
      const info = await this.#forge.getProject(text, signal === undefined ? {} : { signal });
      this.#remember(text, info, nowMs);
      return info;
    } catch (error) {
      if (isMicError(error, "not-found")) return undefined;
      throw error;
    }
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
    const known = this.#infos.get(project);
    if (known === undefined || Math.abs(this.#clock.nowMs() - known.atMs) >= INFO_MS) return 0;
    const rank = this.#rank(principal, project, orgOf(known.info));
    return rank === 0 && known.info.visibility === "public" ? NEED["read"]! : rank;
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

  async #seesProjectOf(principal: Principal, org: string): Promise<boolean> {
    const list = (request: PageRequest): Promise<Page<ProjectInfo>> =>
      this.#forge.listProjects({ ...request, org });
    const found = await this.visible({ limit: 1 }, list, (info) => this.seesProject(principal, info));
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
    const passedMs = Math.max(0, this.#clock.nowMs() - startedMs);
    await this.#clock.sleep(HIDING_MS - (passedMs % HIDING_MS));
  }
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
