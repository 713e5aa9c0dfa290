/**
 * Projects and organizations as one caller may see and change them: what REST and gRPC have in common beyond asking
 * the `Authorizer`. Whoever makes one owns it.
 */
import { isMicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import { parseProjectName } from "../../core/base/project-name.ts";
import type {
  CreateOrganization,
  CreateProject,
  Forge,
  OrganizationInfo,
  Page,
  PageRequest,
  ProjectInfo,
  UpdateProject,
} from "../../core/forge/forge.ts";
import type { Accounts } from "./accounts.ts";
import type { Audit } from "./audit.ts";
import type { Authorizer } from "./authorizer.ts";
import type { Principal } from "./principal.ts";

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
  /** Names that are being taken: one call at a time for each. */
  readonly #taking = new Map<string, Promise<unknown>>();

  constructor({ forge, accounts, authorizer, audit }: OwnedProjectsOptions) {
    this.#forge = forge;
    this.#accounts = accounts;
    this.#authorizer = authorizer;
    this.#audit = audit;
  }

  async createOrganization(request: CreateOrganization, asking: Asking): Promise<OrganizationInfo> {
    const made = await this.#inTurn(request.name, async () => {
      await this.#authorizer.create(asking.principal, request.name);
      return await this.#takeName(request, asking);
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
      ({ name }) => this.#authorizer.seesOrganization(principal, name),
    );
  }

  /** Makes the organization too where it is missing. */
  async createProject(request: CreateProject, asking: Asking): Promise<ProjectInfo> {
    const { principal, signal } = asking;
    const { org } = parseProjectName(request.name);
    await this.#inTurn(org, async () => {
      const isNew = await this.#authorizer.create(principal, request.name);
      if (isNew) await this.#takeName({ name: org }, asking);
    });
    const made = await this.#forge.createProject(request, optionsOf(signal));
    const { userId } = principal;
    if (userId !== undefined && this.#accounts.roleIn(userId, made.id, org) !== "owner") {
      this.#accounts.setProjectRole(made.id, userId, "owner");
    }
    this.#record(asking, "project.created", `project:${made.id}`, { name: made.name });
    return made;
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
      (info) => this.#authorizer.seesProject(principal, info),
    );
  }

  /** `project`: one that the caller owns. Errors: those of creating one, for a name in another organization. */
  async updateProject(project: ProjectId, request: UpdateProject, asking: Asking): Promise<ProjectInfo> {
    const { principal, signal } = asking;
    if (request.name !== undefined) {
      const { org } = parseProjectName(request.name);
      const before = await this.#forge.getProject(project, optionsOf(signal));
      if (parseProjectName(before.name).org !== org) {
        await this.#inTurn(org, async () => {
          const isNew = await this.#authorizer.create(principal, request.name!);
          if (isNew) await this.#takeName({ name: org }, asking);
        });
      }
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

  /**
   * The role is written first: a crash leaves a name that is kept for its user, never an organization without an
   * owner. Who was first is for the forge to say.
   */
  async #takeName(request: CreateOrganization, { principal, signal }: Asking): Promise<OrganizationInfo> {
    const { userId } = principal;
    const isOwner =
      userId === undefined || this.#accounts.roleInOrganization(userId, request.name) === "owner";
    if (!isOwner) this.#accounts.setOrganizationRole(request.name, userId, "owner");
    try {
      return await this.#forge.createOrganization(request, optionsOf(signal));
    } catch (error) {
      if (!isOwner && isMicError(error, "already-exists")) {
        this.#accounts.releaseOrganization(request.name, userId);
      }
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

function optionsOf(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
