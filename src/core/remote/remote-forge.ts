/** A forge behind a server, for clients. What the server says is checked before anybody here builds on it. */
import { hexToBytes } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { MicError } from "../base/errors.ts";
import type { LandingId, ObjectId, Position, ProjectId, SessionId } from "../base/ids.ts";
import type { TreePath } from "../base/path.ts";
import type { Random } from "../base/random.ts";
import type * as F from "../forge/forge.ts";
import type { Frame, ObjectRef } from "../objects/frame.ts";
import {
  decodeMessage,
  encodeMessage,
  idToWire,
  operationToWire,
  positionRefFromWire,
  receive,
} from "../wire/common.ts";
import * as content from "../wire/content.ts";
import { decodeChanges, decodeEntries } from "../wire/entries.ts";
import { PositionRef as WirePositionRef } from "../wire/gen/mic/v1/common.ts";
import * as C from "../wire/gen/mic/v1/content.ts";
import * as P from "../wire/gen/mic/v1/projects.ts";
import * as S from "../wire/gen/mic/v1/sessions.ts";
import * as history from "../wire/history.ts";
import { encodeImportLandings, encodeLandRequest } from "../wire/land.ts";
import * as projects from "../wire/projects.ts";
import * as sessions from "../wire/sessions.ts";
import { Caller } from "./caller.ts";
import { type Channel, fixedToken, type TokenSource } from "./channel.ts";
import { DirectUploads } from "./direct-uploads.ts";
import { landOver } from "./land-call.ts";
import { ascending, wrongAnswer } from "./received-content.ts";
import { fetchFrom, putBlobTo, putPackTo, readFileFrom, readObjectsFrom } from "./remote-content.ts";

const CONTENT = "/mic.v1.ContentService";
const PROJECTS = "/mic.v1.ProjectService";
const SESSIONS = "/mic.v1.SessionService";
const TIMEOUT_MS = 120_000;
const TOKEN = /^[\x21-\x7e]+$/;

export interface RemoteForgeOptions {
  /** Sent to this origin and to no other. */
  readonly token?: string | TokenSource;
  readonly clock: Clock;
  readonly random: Random;
  /** A call ends when nothing moved for this long; a landing whose outcome is not known is repeated for as long. Default 120 s. */
  readonly timeoutMs?: number;
  /** Default `http`: HTTP/1.1, which costs nothing to load (docs/adr/0091-calls-over-fetch.md). */
  readonly transport?: "http" | "grpc";
  /** Certificates in PEM form, trusted beside those of the system. */
  readonly ca?: string;
  /** User agent, `mic/1.0`. */
  readonly agent?: string;
}

/** `origin`: `http(s)://host[:port]`, nothing behind it. Reaches nobody yet. Errors: `usage`. */
export async function openRemoteForge(origin: string, options: RemoteForgeOptions): Promise<F.Forge> {
  checkOrigin(origin);
  const { clock, random, token, ca } = options;
  if (typeof token === "string" && !TOKEN.test(token)) {
    throw new MicError("usage", "the token has characters that no token has", { hint: "check MIC_TOKEN" });
  }
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const source = typeof token === "string" ? fixedToken(token) : token;
  const channelOptions = { origin, token: source, ca, agent: options.agent ?? "mic" };
  let channel: Channel;
  if (options.transport === "grpc") {
    const { GrpcChannel } = await import("./grpc-channel.ts");
    channel = new GrpcChannel(channelOptions);
  } else {
    const { HttpChannel } = await import("./http-channel.ts");
    channel = new HttpChannel(channelOptions);
  }
  return new RemoteForge(channel, new Caller(channel, { origin, clock, random, timeoutMs }));
}

function checkOrigin(origin: string): void {
  const url = URL.canParse(origin) ? new URL(origin) : undefined;
  const isHttp = url?.protocol === "http:" || url?.protocol === "https:";
  if (!isHttp || url.origin !== origin) {
    throw new MicError("usage", `${JSON.stringify(origin)} is not the address of a server`, {
      hint: "an address is http:// or https://, a host and perhaps a port",
    });
  }
}

class RemoteForge implements F.Forge {
  readonly address: string;
  readonly #channel: Channel;
  readonly #caller: Caller;
  readonly #direct: DirectUploads;

  constructor(channel: Channel, caller: Caller) {
    this.address = caller.origin;
    this.#channel = channel;
    this.#caller = caller;
    this.#direct = new DirectUploads(caller);
  }

  createOrganization({ name, description }: F.CreateOrganization, options: F.CallOptions = {}) {
    const request = { name, description: description ?? "" };
    return this.#caller.unary(
      `${PROJECTS}/CreateOrganization`,
      [P.CreateOrganizationRequest, P.Organization],
      request,
      projects.organizationFromWire,
      { ...options, repeat: "once" },
    );
  }

  getOrganization(name: string, options: F.CallOptions = {}) {
    const types = [P.GetOrganizationRequest, P.Organization] as const;
    return this.#caller.unary(
      `${PROJECTS}/GetOrganization`,
      types,
      { name },
      projects.organizationFromWire,
      options,
    );
  }

  listOrganizations(
    request: F.PageRequest,
    options: F.CallOptions = {},
  ): Promise<F.Page<F.OrganizationInfo>> {
    return this.#caller.unary(
      `${PROJECTS}/ListOrganizations`,
      [P.ListOrganizationsRequest, P.ListOrganizationsResponse],
      pageToWire(request),
      ({ organizations, next }) => pageFromWire(organizations.map(projects.organizationFromWire), next),
      options,
    );
  }

  createProject(request: F.CreateProject, options: F.CallOptions = {}): Promise<F.ProjectInfo> {
    return this.#caller.unary(
      `${PROJECTS}/CreateProject`,
      [P.CreateProjectRequest, P.Project],
      projects.createProjectToWire(request),
      (message) => sameProject(projects.projectFromWire(message), request.id),
      options,
    );
  }

  getProject(nameOrId: string, options: F.CallOptions = {}): Promise<F.ProjectInfo> {
    return this.#caller.unary(
      `${PROJECTS}/GetProject`,
      [P.GetProjectRequest, P.Project],
      { project: nameOrId },
      (message) => {
        const info = projects.projectFromWire(message);
        return nameOrId.includes("/") ? info : sameProject(info, nameOrId);
      },
      options,
    );
  }

  listProjects(request: F.PageRequest & { readonly org?: string }, options: F.CallOptions = {}) {
    return this.#caller.unary(
      `${PROJECTS}/ListProjects`,
      [P.ListProjectsRequest, P.ListProjectsResponse],
      { ...pageToWire(request), org: request.org ?? "" },
      (message): F.Page<F.ProjectInfo> =>
        pageFromWire(message.projects.map(projects.projectFromWire), message.next),
      options,
    );
  }

  updateProject(project: ProjectId, request: F.UpdateProject, options: F.CallOptions = {}) {
    return this.#caller.unary(
      `${PROJECTS}/UpdateProject`,
      [P.UpdateProjectRequest, P.Project],
      projects.updateProjectToWire(project, request),
      (message) => sameProject(projects.projectFromWire(message), project),
      options,
    );
  }

  deleteProject(project: ProjectId, options: F.CallOptions = {}): Promise<void> {
    return this.#caller.unary(
      `${PROJECTS}/DeleteProject`,
      [P.DeleteProjectRequest, P.DeleteProjectResponse],
      { project },
      () => undefined,
      { ...options, repeat: "once" },
    );
  }

  getHead(project: ProjectId, options: F.CallOptions & { readonly atLeast?: Position } = {}) {
    const atLeast = options.atLeast ?? 0;
    return this.#caller.unary(
      `${CONTENT}/GetHead`,
      [C.GetHeadRequest, C.Head],
      { project, atLeast: BigInt(atLeast) },
      (message): F.HeadInfo => {
        const head = projects.headFromWire(message);
        if (head.position < atLeast)
          throw wrongAnswer("GetHead", `position ${head.position} is before ${atLeast}`);
        return head;
      },
      options,
    );
  }

  getPosition(project: ProjectId, position: Position, options: F.CallOptions = {}): Promise<F.PositionRef> {
    return this.#caller.unary(
      `${CONTENT}/GetTreeAtPosition`,
      [C.GetTreeAtPositionRequest, WirePositionRef],
      { project, position: BigInt(position) },
      (message) => {
        const found = positionRefFromWire(message, "the position");
        if (found.position !== position)
          throw wrongAnswer("GetTreeAtPosition", `it is about ${found.position}`);
        return found;
      },
      options,
    );
  }

  async putPack(project: ProjectId, pack: Uint8Array, options: F.CallOptions = {}) {
    const stored = await this.#direct.putPack(project, pack, options);
    return stored ?? (await putPackTo(this.#caller, project, pack, options));
  }

  putBlob(project: ProjectId, bytes: AsyncIterable<Uint8Array>, options: F.CallOptions = {}) {
    return putBlobTo(this.#caller, project, bytes, options);
  }

  land(project: ProjectId, request: F.LandRequest, options: F.CallOptions = {}): Promise<F.LandResult> {
    return landOver(this.#caller, request, {
      path: `${SESSIONS}/Land`,
      messages: () => encodeLandRequest(project, request),
      signal: options.signal,
    });
  }

  landSession(
    project: ProjectId,
    request: F.LandSession,
    options: F.CallOptions = {},
  ): Promise<F.LandResult> {
    const messages = [[encodeMessage(S.LandSessionRequest, sessions.landSessionToWire(project, request))]];
    return landOver(this.#caller, request, {
      path: `${SESSIONS}/LandSession`,
      messages: () => messages,
      signal: options.signal,
    });
  }

  async importLandings(project: ProjectId, request: F.ImportLandings, options: F.CallOptions = {}) {
    const bytes = await this.#caller.single({
      path: `${PROJECTS}/ImportLandings`,
      messages: () => encodeImportLandings(project, request),
      repeat: "again",
      signal: options.signal,
    });
    return receive("ImportLandings", () => projects.headFromWire(decodeMessage(C.Head, bytes)));
  }

  importSession(project: ProjectId, session: F.Session, options: F.CallOptions = {}): Promise<void> {
    return this.#caller.unary(
      `${PROJECTS}/ImportSession`,
      [P.ImportSessionRequest, P.ImportSessionResponse],
      { project, session: sessions.sessionToWire(session) },
      () => undefined,
      options,
    );
  }

  findLanding(project: ProjectId, landingId: LandingId, after: Position, options: F.CallOptions = {}) {
    return this.#caller.unary(
      `${CONTENT}/FindLanding`,
      [C.FindLandingRequest, C.FindLandingResponse],
      { project, landingId: hexToBytes(landingId), after: BigInt(after) },
      ({ landing }): F.FoundLanding | undefined => {
        if (landing === undefined) return undefined;
        if (history.landingIdFromWire(landing.landingId) !== landingId) {
          throw wrongAnswer("FindLanding", "it is about another landing");
        }
        const found = history.landedFromWire(landing);
        if (found.position <= after) throw wrongAnswer("FindLanding", `it is at ${found.position}`);
        return found;
      },
      options,
    );
  }

  async *listLandings(project: ProjectId, request: F.ListLandings, options: F.CallOptions = {}) {
    // On the wire no paths are all of them.
    if (request.paths?.length === 0) return;
    const path = `${CONTENT}/ListLandings`;
    const messages = [[encodeMessage(C.ListLandingsRequest, history.listLandingsToWire(project, request))]];
    const pages = this.#caller.stream(
      { path, messages: () => messages, repeat: "again", signal: options.signal },
      (bytes) => decodeMessage(C.ListLandingsResponse, bytes).landings.map(history.landingSummaryFromWire),
    );
    let below = request.upTo === undefined ? Number.POSITIVE_INFINITY : request.upTo + 1;
    for await (const page of pages) {
      for (const { position } of page) {
        if (position >= below || position <= (request.after ?? 0)) {
          throw wrongAnswer("ListLandings", `position ${position} is out of order`);
        }
        below = position;
      }
      yield page;
    }
  }

  getLanding(project: ProjectId, position: Position, options: F.CallOptions = {}): Promise<F.Landing> {
    return this.#caller.unary(
      `${CONTENT}/GetLanding`,
      [C.GetLandingRequest, C.Landing],
      { project, position: BigInt(position) },
      (message) => {
        const landing = history.landingFromWire(message);
        if (landing.position !== position) throw wrongAnswer("GetLanding", `it is about ${landing.position}`);
        return landing;
      },
      options,
    );
  }

  getPath(project: ProjectId, at: Position, path: TreePath, options: F.CallOptions = {}) {
    return this.#caller.unary(
      `${CONTENT}/GetPath`,
      [C.GetPathRequest, C.GetPathResponse],
      { project, at: BigInt(at), path },
      content.pathInfoFromWire,
      options,
    );
  }

  listDirectory(project: ProjectId, request: F.ListDirectory, options: F.CallOptions = {}) {
    return this.#caller.unary(
      `${CONTENT}/GetTree`,
      [C.GetTreeRequest, C.GetTreeResponse],
      { project, at: BigInt(request.at), dir: request.dir, ...pageToWire(request) },
      ({ items, next }): F.Page<F.DirectoryItem> =>
        pageFromWire(items.map(content.directoryItemFromWire), next),
      options,
    );
  }

  listEntries(
    project: ProjectId,
    at: Position,
    paths: readonly TreePath[] | undefined,
    options: F.CallOptions = {},
  ): AsyncIterable<readonly F.LocatedEntry[]> {
    if (paths?.length === 0) return nothing();
    const request = { project, at: BigInt(at), paths: paths ?? [] };
    const messages = [[encodeMessage(C.ListEntriesRequest, request)]];
    const path = `${CONTENT}/ListEntries`;
    const spec = { path, messages: () => messages, repeat: "again", signal: options.signal } as const;
    return ascending("ListEntries", this.#caller.stream(spec, decodeEntries), paths);
  }

  diff(
    project: ProjectId,
    request: F.DiffRequest,
    options: F.CallOptions = {},
  ): AsyncIterable<readonly F.TreeChange[]> {
    if (request.paths?.length === 0) return nothing();
    const messages = [[encodeMessage(C.DiffRequest, content.diffRequestToWire(project, request))]];
    const path = `${CONTENT}/Diff`;
    const spec = { path, messages: () => messages, repeat: "again", signal: options.signal } as const;
    return ascending("Diff", this.#caller.stream(spec, decodeChanges), request.paths);
  }

  fetch(
    project: ProjectId,
    request: F.DiffRequest,
    options: F.FetchOptions = {},
  ): AsyncIterable<F.FetchItem> {
    return fetchFrom(this.#caller, project, request, options);
  }

  readObjects(
    project: ProjectId,
    wants: readonly ObjectRef[],
    options: F.ReadObjectsOptions = {},
  ): AsyncIterable<Frame> {
    return readObjectsFrom(this.#caller, project, wants, options);
  }

  readFile(
    project: ProjectId,
    file: { readonly entry: F.LocatedEntry["entry"]; readonly hint: number },
    options: F.CallOptions & { readonly range?: F.ContentRange } = {},
  ): AsyncIterable<Uint8Array> {
    return readFileFrom(this.#caller, project, file, options);
  }

  findContent(
    project: ProjectId,
    wanted: { readonly id: ObjectId; readonly chunks?: ObjectId },
    options: F.CallOptions = {},
  ): Promise<F.StoredContent | undefined> {
    return this.#caller.unary(
      `${CONTENT}/FindContent`,
      [C.FindContentRequest, C.FindContentResponse],
      { project, id: hexToBytes(wanted.id), chunks: idToWire(wanted.chunks) },
      (message) => {
        if (message.content === undefined) return undefined;
        const stored = content.storedContentFromWire(message.content);
        if (stored.id !== wanted.id || stored.chunks !== wanted.chunks) {
          throw wrongAnswer("FindContent", "it is about other content");
        }
        return stored;
      },
      options,
    );
  }

  async blame(project: ProjectId, at: Position, path: TreePath, options: F.CallOptions = {}) {
    const messages = [[encodeMessage(C.BlameRequest, { project, at: BigInt(at), path })]];
    const spec = {
      path: `${CONTENT}/Blame`,
      messages: () => messages,
      repeat: "again",
      signal: options.signal,
    } as const;
    const lines: F.BlameLine[] = [];
    const decode = (bytes: Uint8Array) =>
      decodeMessage(C.BlameResponse, bytes).lines.map(content.blameLineFromWire);
    for await (const page of this.#caller.stream(spec, decode)) {
      for (const line of page) {
        if (line.line !== lines.length + 1) throw wrongAnswer("Blame", `line ${line.line} is out of order`);
        lines.push(line);
      }
      if (page.length === 0) throw wrongAnswer("Blame", "a message without lines");
    }
    return lines;
  }

  startSession(project: ProjectId, request: F.StartSession, options: F.CallOptions = {}): Promise<F.Session> {
    const wire = sessions.startSessionToWire(project, request);
    return this.#session("StartSession", S.StartSessionRequest, wire, request.id, {
      ...options,
      repeat: "again",
    });
  }

  getSession(project: ProjectId, session: SessionId, options: F.CallOptions = {}): Promise<F.Session> {
    const wire = { project, session: hexToBytes(session) };
    return this.#session("GetSession", S.GetSessionRequest, wire, session, { ...options, repeat: "again" });
  }

  listSessions(project: ProjectId, request: F.ListSessions, options: F.CallOptions = {}) {
    return this.#caller.unary(
      `${SESSIONS}/ListSessions`,
      [S.ListSessionsRequest, S.ListSessionsResponse],
      {
        project,
        ...pageToWire(request),
        state: sessions.stateToWire(request.state),
        owner: request.owner ?? "",
      },
      (message): F.Page<F.SessionSummary> =>
        pageFromWire(message.sessions.map(sessions.sessionSummaryFromWire), message.next),
      options,
    );
  }

  recordOperations(
    project: ProjectId,
    session: SessionId,
    operations: readonly F.Operation[],
    options: F.CallOptions = {},
  ): Promise<F.Session> {
    const wire = { project, session: hexToBytes(session), operations: operations.map(operationToWire) };
    // The later of two operations on a path counts: the same ones again change nothing.
    return this.#session("RecordOperation", S.RecordOperationRequest, wire, session, options);
  }

  recordDecision(project: ProjectId, session: SessionId, text: string, options: F.CallOptions = {}) {
    const wire = { project, session: hexToBytes(session), text };
    return this.#session("RecordDecision", S.RecordDecisionRequest, wire, session, options);
  }

  recordConversation(
    project: ProjectId,
    session: SessionId,
    messages: readonly F.ConversationMessage[],
    options: F.CallOptions = {},
  ): Promise<F.Session> {
    const wire = { project, session: hexToBytes(session), messages };
    return this.#session("RecordConversation", S.RecordConversationRequest, wire, session, options);
  }

  abandonSession(project: ProjectId, session: SessionId, options: F.CallOptions = {}): Promise<F.Session> {
    const wire = { project, session: hexToBytes(session) };
    return this.#session("AbandonSession", S.AbandonSessionRequest, wire, session, options);
  }

  #session<Request>(
    method: string,
    type: Parameters<Caller["unary"]>[1][0] & { encode(message: Request): unknown },
    request: Request,
    id: SessionId,
    options: F.CallOptions & { readonly repeat?: "again" },
  ): Promise<F.Session> {
    return this.#caller.unary(
      `${SESSIONS}/${method}`,
      [type, S.Session],
      request,
      (message) => {
        const session = sessions.sessionFromWire(message);
        if (session.id !== id) throw wrongAnswer(method, "it is about another session");
        return session;
      },
      { repeat: "once", ...options },
    );
  }

  async fsck(
    project: ProjectId,
    options: F.CallOptions & { readonly onProgress?: (progress: F.Progress) => void } = {},
  ): Promise<F.FsckReport> {
    const messages = [[encodeMessage(P.FsckRequest, { project })]];
    const spec = {
      path: `${PROJECTS}/Fsck`,
      messages: () => messages,
      repeat: "again",
      signal: options.signal,
    } as const;
    let report: F.FsckReport | undefined;
    const decode = (bytes: Uint8Array): F.Progress | undefined => {
      const { item } = decodeMessage(P.FsckResponse, bytes);
      if (item?.$case === "progress") return projects.progressFromWire(item.progress);
      if (item !== undefined) report = projects.fsckReportFromWire(item.report);
      return undefined;
    };
    for await (const progress of this.#caller.stream(spec, decode)) {
      if (progress !== undefined) options.onProgress?.(progress);
    }
    if (report === undefined) throw wrongAnswer("Fsck", "no report");
    return report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#channel[Symbol.asyncDispose]();
  }
}

async function* nothing(): AsyncGenerator<never> {
  // Ends at once.
}

function pageToWire({ after, limit }: F.PageRequest): { readonly after: string; readonly limit: number } {
  return { after: after ?? "", limit: limit ?? 0 };
}

function pageFromWire<T>(items: readonly T[], next: string): F.Page<T> {
  if (next === "") return { items };
  // Or a caller that reads page after page never ends.
  if (items.length === 0) throw wrongAnswer("a list", "an empty page that is not the last");
  return { items, next };
}

function sameProject(info: F.ProjectInfo, id: string): F.ProjectInfo {
  if (info.id !== id) throw wrongAnswer("a project", `it is about ${info.id}`);
  return info;
}
