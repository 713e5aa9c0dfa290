/** The forge over an object store, in this process. One file per topic does the work. */
import { type Clock, throwIfAborted } from "../base/clock.ts";
import { MicError } from "../base/errors.ts";
import { type PackId, type Position, type ProjectId, parseProjectId } from "../base/ids.ts";
import type { TreePath } from "../base/path.ts";
import type { Random } from "../base/random.ts";
import type { ObjectRef } from "../objects/frame.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { PresigningStore } from "../store/presign.ts";
import { collect } from "./collect/collect.ts";
import { everyProject } from "./collect/every-project.ts";
import {
  findContent,
  getPath,
  listDirectory,
  listEntries,
  readFile,
  readObjects,
} from "./content/content.ts";
import { findPackPlace, finishUpload, startUpload } from "./content/direct-transfer.ts";
import { getPack } from "./content/read-pack.ts";
import type { ForgeContext } from "./context.ts";
import type * as api from "./forge.ts";
import { fsck } from "./fsck/fsck.ts";
import { blame } from "./history/blame.ts";
import { diff } from "./history/changes.ts";
import { fetchChanges } from "./history/fetch.ts";
import { getLanding, listLandings } from "./history/history.ts";
import { openSnapshot, requirePosition } from "./log/positions.ts";
import type * as maintenance from "./maintenance.ts";
import { ProjectStore } from "./project-store.ts";
import { locateProject } from "./projects/locate.ts";
import * as organizations from "./projects/organizations.ts";
import * as projects from "./projects/projects.ts";
import { type RepairOptions, repair } from "./repair/repair.ts";
import { importSession } from "./sessions/import.ts";
import { land, landSession } from "./sessions/land.ts";
import { listSessions } from "./sessions/list.ts";
import * as sessions from "./sessions/sessions.ts";
import { statProject } from "./storage-stat.ts";
import { type UpkeepOptions, upkeep } from "./upkeep.ts";

export interface ForgeServiceOptions {
  /** Disposed of together with the service. */
  readonly store: ObjectStore;
  /** How the forge was reached, for messages. */
  readonly address: string;
  readonly clock: Clock;
  readonly random: Random;
  /** True when whoever lands is this process itself: content is not hashed again. */
  readonly trustWriters: boolean;
  /** Lets clients put large packs into the store, and get them, past this process. Absent: everything goes through it. */
  readonly presigning?: PresigningStore;
  /** Caches of each open project. Default 64 MiB. */
  readonly cacheBytes?: number;
  /** Caches of all open projects together. Default 160 MiB. */
  readonly cacheBytesTotal?: number;
  /** How long a landing without a definite answer is retried. Default 120 s. */
  readonly landTimeoutMs?: number;
}

const CACHE_BYTES_DEFAULT = 64 << 20;
const CACHE_BYTES_TOTAL_DEFAULT = 160 << 20;
/** Projects whose caches are kept. */
const OPEN_PROJECTS_MAX = 256;
/** Calls between two looks at what the caches hold together. */
const CALLS_PER_LOOK = 256;

interface OpenProject {
  readonly store: ProjectStore;
  /** Its meta was read and said so. */
  exists: boolean;
}

export class ForgeService implements api.Forge {
  readonly address: string;
  readonly #context: ForgeContext;
  readonly #options: ForgeServiceOptions;
  readonly #open = new Map<ProjectId, OpenProject>();
  #disposed = false;
  #callsToLook = CALLS_PER_LOOK;

  constructor(options: ForgeServiceOptions) {
    const { store, clock, random, landTimeoutMs: timeoutMs } = options;
    this.address = options.address;
    this.#options = options;
    this.#context = {
      store,
      clock,
      random,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      project: (project) => this.#project(project).store,
      requireProject: (project, signal) => this.#requireProject(project, signal),
    };
  }

  createOrganization(
    request: api.CreateOrganization,
    options?: api.CallOptions,
  ): Promise<api.OrganizationInfo> {
    return organizations.createOrganization(this.#context, request, options);
  }
  getOrganization(name: string, options?: api.CallOptions): Promise<api.OrganizationInfo> {
    return organizations.getOrganization(this.#context, name, options);
  }
  listOrganizations(
    request: api.PageRequest,
    options?: api.CallOptions,
  ): Promise<api.PartialPage<api.OrganizationInfo>> {
    return organizations.listOrganizations(this.#context, request, options);
  }

  createProject(request: api.CreateProject, options?: api.CallOptions): Promise<api.CreatedProject> {
    return projects.createProject(this.#context, request, options);
  }
  getProject(nameOrId: string, options?: api.CallOptions): Promise<api.ProjectInfo> {
    return projects.getProject(this.#context, nameOrId, options);
  }
  listProjects(
    request: api.PageRequest & { readonly org?: string },
    options?: api.CallOptions,
  ): Promise<api.PartialPage<api.ProjectInfo>> {
    return projects.listProjects(this.#context, request, options);
  }
  updateProject(
    project: ProjectId,
    request: api.UpdateProject,
    options?: api.CallOptions,
  ): Promise<api.ProjectInfo> {
    return projects.updateProject(this.#context, project, request, options);
  }
  async deleteProject(project: ProjectId, options?: api.CallOptions): Promise<void> {
    await projects.deleteProject(this.#context, project, options);
    this.#open.delete(project);
  }

  async getHead(
    project: ProjectId,
    options: api.CallOptions & { readonly atLeast?: Position } = {},
  ): Promise<api.HeadInfo> {
    const { head } = await openSnapshot(this.#context, project, options);
    const { position, root, hlc, salt } = head;
    return { position, root, hlc, salt };
  }
  async getPosition(
    project: ProjectId,
    position: Position,
    options?: api.CallOptions,
  ): Promise<api.PositionRef> {
    return await requirePosition(await openSnapshot(this.#context, project, options), position);
  }

  async putPack(project: ProjectId, pack: Uint8Array, options?: api.CallOptions): Promise<PackId> {
    throwIfAborted(options?.signal);
    await this.#requireProject(project, options?.signal);
    return await this.#context.project(project).putPack(pack, options);
  }
  land(project: ProjectId, request: api.LandRequest, options?: api.CallOptions): Promise<api.LandResult> {
    return land(this.#context, project, request, options);
  }
  async startUpload(
    project: ProjectId,
    size: number,
    options?: api.CallOptions,
  ): Promise<api.UploadPlace | undefined> {
    const { presigning } = this.#options;
    if (presigning === undefined) return undefined;
    await this.#requireProject(project, options?.signal);
    return await startUpload(this.#context, presigning, project, size);
  }
  async finishUpload(project: ProjectId, upload: string, options?: api.CallOptions): Promise<PackId> {
    await this.#requireProject(project, options?.signal);
    return await finishUpload(this.#context, project, upload, options);
  }
  async findPackPlace(
    project: ProjectId,
    pack: PackId,
    options?: api.CallOptions,
  ): Promise<api.PackPlace | undefined> {
    const { presigning } = this.#options;
    if (presigning === undefined) return undefined;
    return await findPackPlace(this.#context, presigning, project, pack, options);
  }
  getPack(project: ProjectId, pack: PackId, options?: api.CallOptions): Promise<Uint8Array | undefined> {
    return getPack(this.#context, project, pack, options);
  }
  async putBlob(
    project: ProjectId,
    content: AsyncIterable<Uint8Array>,
    options?: api.CallOptions,
  ): Promise<api.StoredContent> {
    throwIfAborted(options?.signal);
    await this.#requireProject(project, options?.signal);
    return await this.#context.project(project).putBlob(content, options);
  }
  landSession(
    project: ProjectId,
    request: api.LandSession,
    options?: api.CallOptions,
  ): Promise<api.LandResult> {
    return landSession(this.#context, project, request, options);
  }
  async importLandings(
    project: ProjectId,
    request: api.ImportLandings,
    options?: api.CallOptions,
  ): Promise<api.HeadInfo> {
    throwIfAborted(options?.signal);
    await this.#requireProject(project, options?.signal);
    return await this.#context.project(project).importLandings(request, options);
  }
  importSession(project: ProjectId, session: api.Session, options?: api.CallOptions): Promise<void> {
    return importSession(this.#context, project, session, options);
  }
  async findLanding(
    project: ProjectId,
    landingId: api.LandRequest["landingId"],
    after: Position,
    options?: api.CallOptions,
  ): Promise<api.FoundLanding | undefined> {
    const snapshot = await openSnapshot(this.#context, project, options);
    const record = await snapshot.findLanding(landingId, after, options);
    if (record === undefined || record.position <= after) return undefined;
    return { position: record.position, root: record.root, session: record.session };
  }

  listLandings(
    project: ProjectId,
    request: api.ListLandings,
    options?: api.CallOptions,
  ): AsyncIterable<readonly api.LandingSummary[]> {
    return listLandings(this.#context, project, request, options);
  }
  getLanding(project: ProjectId, position: Position, options?: api.CallOptions): Promise<api.Landing> {
    return getLanding(this.#context, project, position, options);
  }

  getPath(
    project: ProjectId,
    at: Position,
    path: TreePath,
    options?: api.CallOptions,
  ): Promise<api.PathInfo | undefined> {
    return getPath(this.#context, project, at, path, options);
  }
  listDirectory(
    project: ProjectId,
    request: api.ListDirectory,
    options?: api.CallOptions,
  ): Promise<api.Page<api.DirectoryItem>> {
    return listDirectory(this.#context, project, request, options);
  }
  listEntries(
    project: ProjectId,
    at: Position,
    paths: readonly TreePath[] | undefined,
    options?: api.CallOptions,
  ): AsyncIterable<readonly api.LocatedEntry[]> {
    return listEntries(this.#context, project, at, paths, options);
  }
  diff(
    project: ProjectId,
    request: api.DiffRequest,
    options?: api.CallOptions,
  ): AsyncIterable<readonly api.TreeChange[]> {
    return diff(this.#context, project, request, options);
  }
  fetch(
    project: ProjectId,
    request: api.DiffRequest,
    options?: api.FetchOptions,
  ): AsyncIterable<api.FetchItem> {
    return fetchChanges(this.#context, project, request, options);
  }
  readObjects(
    project: ProjectId,
    wants: readonly ObjectRef[],
    options?: api.ReadObjectsOptions,
  ): ReturnType<api.Forge["readObjects"]> {
    return readObjects(this.#context, project, wants, options);
  }
  readFile(
    project: ProjectId,
    file: Parameters<api.Forge["readFile"]>[1],
    options?: Parameters<api.Forge["readFile"]>[2],
  ): AsyncIterable<Uint8Array> {
    return readFile(this.#context, project, file, options);
  }
  findContent(
    project: ProjectId,
    content: Parameters<api.Forge["findContent"]>[1],
    options?: api.CallOptions,
  ): Promise<api.StoredContent | undefined> {
    return findContent(this.#context, project, content, options);
  }
  blame(
    project: ProjectId,
    at: Position,
    path: TreePath,
    options?: api.CallOptions,
  ): Promise<readonly api.BlameLine[]> {
    return blame(this.#context, project, at, path, options);
  }

  startSession(
    project: ProjectId,
    request: api.StartSession,
    options?: api.CallOptions,
  ): Promise<api.Session> {
    return sessions.startSession(this.#context, project, request, options);
  }
  getSession(
    project: ProjectId,
    session: api.Session["id"],
    options?: api.CallOptions,
  ): Promise<api.Session> {
    return sessions.getSession(this.#context, project, session, options);
  }
  listSessions(
    project: ProjectId,
    request: api.ListSessions,
    options?: api.CallOptions,
  ): Promise<api.Page<api.SessionSummary>> {
    return listSessions(this.#context, project, request, options);
  }
  recordOperations(
    project: ProjectId,
    session: api.Session["id"],
    operations: readonly api.Operation[],
    options?: api.CallOptions,
  ): Promise<api.Session> {
    return sessions.recordOperations(this.#context, project, session, operations, options);
  }
  recordDecision(
    project: ProjectId,
    session: api.Session["id"],
    text: string,
    options?: api.CallOptions,
  ): Promise<api.Session> {
    return sessions.recordDecision(this.#context, project, session, text, options);
  }
  recordConversation(
    project: ProjectId,
    session: api.Session["id"],
    messages: readonly api.ConversationMessage[],
    options?: api.CallOptions,
  ): Promise<api.Session> {
    return sessions.recordConversation(this.#context, project, session, messages, options);
  }
  abandonSession(
    project: ProjectId,
    session: api.Session["id"],
    options?: api.CallOptions,
  ): Promise<api.Session> {
    return sessions.abandonSession(this.#context, project, session, options);
  }

  fsck(project: ProjectId, options?: Parameters<api.Forge["fsck"]>[1]): Promise<api.FsckReport> {
    return fsck(this.#context, project, options);
  }

  upkeep(project: ProjectId, options?: UpkeepOptions): Promise<maintenance.UpkeepReport> {
    return upkeep(this.#context, project, options);
  }
  collect(
    project: ProjectId,
    options?: Parameters<maintenance.Maintenance["collect"]>[1],
  ): Promise<maintenance.CollectReport> {
    return collect(this.#context, project, options);
  }
  async stat(project: ProjectId, options?: api.CallOptions): Promise<maintenance.StorageStat> {
    return await statProject(this.#context.store, parseProjectId(project), options);
  }
  repair(project: ProjectId, options?: RepairOptions): Promise<maintenance.RepairReport> {
    return repair(this.#context, project, options);
  }
  locateProject(nameOrId: string, options?: api.CallOptions): Promise<ProjectId> {
    return locateProject(this.#context, nameOrId, options);
  }
  everyProject(options?: maintenance.EveryProjectOptions): AsyncIterable<readonly ProjectId[]> {
    return everyProject(this.#context, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#open.clear();
    await this.#options.store[Symbol.asyncDispose]();
  }

  async #requireProject(project: ProjectId, signal: AbortSignal | undefined): Promise<void> {
    const open = this.#project(project);
    if (open.exists) return;
    await projects.readMeta(this.#context, project, signal);
    open.exists = true;
  }

  #project(project: ProjectId): OpenProject {
    if (this.#disposed) throw new MicError("internal", "bug: the forge was closed");
    const known = this.#open.get(project);
    if (known !== undefined) {
      this.#open.delete(project);
      this.#open.set(project, known);
      if (--this.#callsToLook === 0) this.#makeRoom(known);
      return known;
    }
    const {
      store,
      clock,
      random,
      trustWriters,
      landTimeoutMs,
      cacheBytes = CACHE_BYTES_DEFAULT,
    } = this.#options;
    const id = parseProjectId(project);
    const limits = { cacheBytes, ...(landTimeoutMs === undefined ? {} : { landTimeoutMs }) };
    const opened = {
      store: new ProjectStore({ store, project: id, clock, random, trustWriters, ...limits }),
      exists: false,
    };
    this.#open.set(id, opened);
    this.#makeRoom(opened);
    return opened;
  }

  /** Of the projects that are open now: what their readers found, for whoever watches over them. */
  rollupDamage(): { readonly damaged: number; readonly fallbacks: number } {
    let damaged = 0;
    let fallbacks = 0;
    for (const { store } of this.#open.values()) {
      damaged += store.damagedRollups.length;
      fallbacks += store.rollupFallbacks;
    }
    return { damaged, fallbacks };
  }

  /**
   * Forgets the projects that were used least recently until the others fit. One that is landing stays: a second
   * publisher beside its own would be correct, and slow.
   */
  #makeRoom(keep: OpenProject): void {
    this.#callsToLook = CALLS_PER_LOOK;
    const bytesMax = this.#options.cacheBytesTotal ?? CACHE_BYTES_TOTAL_DEFAULT;
    let bytes = 0;
    for (const { store } of this.#open.values()) bytes += store.heldBytes;
    for (const [id, open] of this.#open) {
      if (bytes <= bytesMax && this.#open.size <= OPEN_PROJECTS_MAX) return;
      if (open === keep || open.store.isLanding) continue;
      this.#open.delete(id);
      bytes -= open.store.heldBytes;
    }
  }
}
