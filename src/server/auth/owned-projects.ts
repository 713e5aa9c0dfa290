/**
 * Projects and organizations as one caller may see and change them: what REST and gRPC have in common beyond asking
 * the `Authorizer`. Whoever makes one owns it; whoever finds it made gets no role, and an answer only where it may do
 * everything with it anyway.
 */
import { isMicError, MicError } from "../../core/base/errors.ts";
import { type ProjectId, parseProjectId } from "../../core/base/ids.ts";
import { parseProjectName } from "../../core/base/project-name.ts";
import type {
  CreatedProject,
  CreateOrganization,
  CreateProject,
  Forge,
  OrganizationInfo,
  Page,
  PageRequest,
  ProjectInfo,
  UpdateProject,
} from "../../core/forge/forge.ts";
import { idTaken } from "../../core/forge/projects/projects.ts";
import type { Accounts } from "./accounts.ts";
import type { Audit } from "./audit.ts";
import type { Authorizer } from "./authorizer.ts";
import type { Principal } from "./principal.ts";

/**
 * Between the note that a creation begins and the project's own time of creation, at most: a project that is younger
 * was made by somebody else.
 */
const CREATION_MS_MAX = 600_000;

/** Who asks, and until when. */
export interface Asking {
  readonly principal: Principal;
  readonly signal?: AbortSignal;
  /** Of the caller, for the audit log. */
  readonly address?: string;
}

export interface OwnedProjectsOptions {
  readonly forge: Forge;
  readonly accounts: Accounts;
  readonly authorizer: Authorizer;
  readonly audit: Audit;
}

export class OwnedProjects {
  readonly #forge: Forge;
  readonly #accounts: Accounts;
  readonly #authorizer: Authorizer;
  readonly #audit: Audit;
  /** Names and project ids that are being taken: one call at a time for each. */
  readonly #taking = new Map<string, Promise<unknown>>();

  constructor({ forge, accounts, authorizer, audit }: OwnedProjectsOptions) {
    this.#forge = forge;
    this.#accounts = accounts;
    this.#authorizer = authorizer;
    this.#audit = audit;
  }

  async createOrganization(request: CreateOrganization, asking: Asking): Promise<OrganizationInfo> {
    const made = await this.#inTurn(request.name, async () => {
      const isFree = await this.#authorizer.create(asking.principal, request.name);
      if (isFree) return await this.#takeName(request, asking);
      return await this.#forge.createOrganization(request, optionsOf(asking.signal));
    });
    this.#record(asking, "organization.created", `organization:${made.name}`);
    return made;
  }

  async getOrganization(name: string, asking: Asking): Promise<OrganizationInfo> {
    const { principal, signal } = asking;
    const known = await this.#authorizer.organization(principal, "organization-read", name);
    return await this.#forge.getOrganization(known, optionsOf(signal));
  }

  async listOrganizations(
    request: PageRequest,
    { principal, signal }: Asking,
  ): Promise<Page<OrganizationInfo>> {
    return await this.#authorizer.visible(
      request,
      (page) => this.#forge.listOrganizations(page, optionsOf(signal)),
      (found) => this.#authorizer.seenOf(principal, found, signal),
    );
  }

  /**
   * Makes the organization too where it is nobody's. Errors: `already-exists`, in the same words for every project
   * that has the id and that the caller may not do everything with.
   */
  async createProject(request: CreateProject, asking: Asking): Promise<ProjectInfo> {
    const { principal } = asking;
    const id = parseProjectId(request.id);
    await this.#authorizer.create(principal, request.name);
    return await this.#inTurn(`project:${id}`, async () => {
      const found = await this.#find(id, asking);
      if (found === undefined) return await this.#make(request, asking);
      if (found.name !== request.name) throw idTaken(id);
      if (this.#isOwnCreation(found, asking)) return await this.#make(request, asking, { isBegun: true });
      if (!this.#isOwner(principal, found)) throw idTaken(id);
      // One that was stopped before its name led to it is finished.
      return await this.#forge.createProject(request, optionsOf(asking.signal));
    });
  }

  /** `isBegun`: it is there, and this caller made it. */
  async #make(request: CreateProject, asking: Asking, { isBegun = false } = {}): Promise<ProjectInfo> {
    const { principal, signal } = asking;
    const { id, name } = request;
    await this.#takeOrganizationOf(name, asking);
    const user = userOf(principal);
    // Before anything is there: else nobody could tell later who made it.
    if (!isBegun && !this.#accounts.startCreation(id, name, user)) throw idTaken(id);
    let made: CreatedProject;
    try {
      made = await this.#forge.createProject(request, optionsOf(signal));
    } catch (error) {
      if (isMicError(error) && error.kind === "input") this.#accounts.endCreation(id, user, false);
      throw error;
    }
    const isOwn = isBegun || made.isNew === true;
    const ownsAll = this.#accounts.roleInOrganization(user, parseProjectName(name).org) === "owner";
    this.#accounts.endCreation(id, user, isOwn && !ownsAll);
    if (!isOwn && !this.#isOwner(principal, made)) throw idTaken(id);
    if (isOwn) this.#record(asking, "project.created", `project:${id}`, { name });
    return made;
  }

  /** Whatever the token is for: one that may make projects may hear again that it did. */
  #isOwner(principal: Principal, { id, name }: ProjectInfo): boolean {
    const { org } = parseProjectName(name);
    return principal.isSiteAdmin || this.#accounts.roleIn(userOf(principal), id, org) === "owner";
  }

  /** The server ended, or had no answer, between the project and the role of who made it. */
  #isOwnCreation({ id, name, createdAtMs }: ProjectInfo, { principal }: Asking): boolean {
    const creation = this.#accounts.findCreation(id);
    return (
      creation !== undefined &&
      creation.user === principal.userId &&
      creation.name === name &&
      creation.startedAtMs <= createdAtMs &&
      createdAtMs - creation.startedAtMs <= CREATION_MS_MAX
    );
  }

  /** Not found: one that was deleted, too. */
  async #find(id: ProjectId, { signal }: Asking): Promise<ProjectInfo | undefined> {
    try {
      return await this.#forge.getProject(id, optionsOf(signal));
    } catch (error) {
      if (isMicError(error, "not-found")) return undefined;
      throw error;
    }
  }

  async listProjects(
    request: PageRequest & { readonly org?: string },
    { principal, signal }: Asking,
  ): Promise<Page<ProjectInfo>> {
    const { org, ...first } = request;
    const within = org === undefined ? {} : { org };
    return await this.#authorizer.visible(
      first,
      (page) => this.#forge.listProjects({ ...page, ...within }, optionsOf(signal)),
      (found) => found.filter((info) => this.#authorizer.seesProject(principal, info)),
    );
  }

  /** `project`: one that the caller owns. Errors: those of creating one, for a name in another organization. */
  async updateProject(project: ProjectId, request: UpdateProject, asking: Asking): Promise<ProjectInfo> {
    const { signal } = asking;
    if (request.name !== undefined) {
      const { org } = parseProjectName(request.name);
      const before = await this.#forge.getProject(project, optionsOf(signal));
      if (parseProjectName(before.name).org !== org) await this.#takeOrganizationOf(request.name, asking);
    }
    const updated = await this.#forge.updateProject(project, request, optionsOf(signal));
    this.#authorizer.forget(project);
    const { name, visibility } = request;
    this.#record(asking, "project.changed", `project:${project}`, { name, visibility });
    return updated;
  }

  async deleteProject(project: ProjectId, asking: Asking): Promise<void> {
    await this.#forge.deleteProject(project, optionsOf(asking.signal));
    this.#authorizer.forget(project);
    this.#record(asking, "project.deleted", `project:${project}`);
  }

  /** For a project that is to have this name. Errors: those of `Authorizer.create`. */
  async #takeOrganizationOf(name: string, asking: Asking): Promise<void> {
    const { org } = parseProjectName(name);
    await this.#inTurn(org, async () => {
      const isFree = await this.#authorizer.create(asking.principal, name);
      if (!isFree) return;
      await this.#takeName({ name: org }, asking);
      this.#record(asking, "organization.created", `organization:${org}`);
    });
  }

  /**
   * The role is written first, as long as nobody else has the name: a crash leaves a name that is kept for its user,
   * never an organization without an owner. Who was first is for the forge to say.
   */
  async #takeName(request: CreateOrganization, { principal, signal }: Asking): Promise<OrganizationInfo> {
    const { name } = request;
    const user = userOf(principal);
    const wasOwner = this.#accounts.roleInOrganization(user, name) === "owner";
    if (!this.#accounts.claimOrganization(name, user)) {
      throw new MicError("already-exists", `the name ${name} is taken`, { hint: "choose another one" });
    }
    try {
      return await this.#forge.createOrganization(request, optionsOf(signal));
    } catch (error) {
      if (!wasOwner && isMicError(error, "already-exists")) this.#accounts.releaseOrganization(name, user);
      throw error;
    }
  }

  async #inTurn<T>(name: string, work: () => Promise<T>): Promise<T> {
    while (this.#taking.has(name)) await this.#taking.get(name);
    const done = Promise.withResolvers<void>();
    this.#taking.set(name, done.promise);
    try {
      return await work();
    } finally {
      this.#taking.delete(name);
      done.resolve();
    }
  }

  #record(
    { principal, address = "" }: Asking,
    action: string,
    target: string,
    detail?: Readonly<Record<string, unknown>>,
  ): void {
    this.#audit.record({ principal, address, action, target, ...(detail === undefined ? {} : { detail }) });
  }
}

/** `admit` lets nobody pass who has not signed in. */
function userOf({ userId }: Principal): string {
  if (userId === undefined) throw new MicError("internal", "bug: nobody makes anything");
  return userId;
}

function optionsOf(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
