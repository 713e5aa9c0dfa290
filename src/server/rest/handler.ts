/** REST over `node:http`: finds the route, checks the caller and the call, runs the handler, sends the answer. */
import type { IncomingMessage, ServerResponse } from "node:http";
import findMyWay from "find-my-way";
import type { z } from "zod";
import { MicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import type { Forge } from "../../core/forge/forge.ts";
import type { Access } from "../auth/access.ts";
import { LastingCall } from "../auth/lasting-call.ts";
import type { OwnedProjects } from "../auth/owned-projects.ts";
import type { Principal } from "../auth/principal.ts";
import type { ServerContext } from "../context.ts";
import { chargedCaller, tellStanding } from "../network/gate.ts";
import { BYTE_PRICE, priceOfRoute } from "../network/prices.ts";
import { noteCaller } from "../telemetry/call-notes.ts";
import { chooseType } from "./accept.ts";
import { type Answer, sendAnswer } from "./answer.ts";
import { readJson } from "./body.ts";
import { checked } from "./checked.ts";
import { HttpError, problemAnswer } from "./problem.ts";
import { parseQuery } from "./query.ts";
import { type RestOptions, RestState } from "./rest-state.ts";
import type { Call, Method, Route } from "./route.ts";
import { ROUTES } from "./routes.ts";

const METHODS: readonly Method[] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const URL_CHARACTERS_MAX = 32 << 10;
const NOTHING: Readonly<Record<string, never>> = Object.freeze({});

/** A route with what is worked out once. */
interface Endpoint {
  readonly route: Route;
  readonly price: number;
  readonly produced: readonly string[];
  readonly parameters: ReadonlySet<string>;
  readonly repeatable: ReadonlySet<string>;
  /** The query when there is none; absent where it must not be. */
  readonly defaults: unknown;
}

export type RestHandler = (request: IncomingMessage, response: ServerResponse) => void;

export function createRestHandler(context: ServerContext, options: RestOptions = {}): RestHandler {
  const state = new RestState(context, ROUTES, options);
  const router = createRouter();
  return (request, response) => {
    void serve(state, router, request, response);
  };
}

type Router = findMyWay.Instance<findMyWay.HTTPVersion.V1>;

/** The route that a call would take, for those who check answers against the table. */
export function createRouteFinder(): (method: string, path: string) => Route | undefined {
  const router = createRouter();
  return (method, path) => {
    const found = router.find(method === "HEAD" ? "GET" : (method as Method), path);
    return (found?.store as Endpoint | undefined)?.route;
  };
}

function createRouter(): Router {
  const router = findMyWay({ maxParamLength: URL_CHARACTERS_MAX, onBadUrl: noop });
  for (const route of ROUTES) {
    const path = route.path.replace(/\{\+(\w+)\}$/, "*").replace(/\{(\w+)\}/g, ":$1");
    router.on(route.method, path, noop, toEndpoint(route));
  }
  return router;
}

/** Handlers are called with what the router finds; what it would call itself is never called. */
function noop(): void {
  throw new MicError("internal", "bug: the router called a handler");
}

function toEndpoint(route: Route): Endpoint {
  const shape = (route.query?.shape ?? {}) as Readonly<Record<string, z.ZodType>>;
  const types = route.answers.map(
    (answer) => answer.type ?? (answer.schema === undefined ? "" : "application/json"),
  );
  const defaults = route.query?.safeParse({});
  return {
    route,
    price: priceOfRoute(route.id),
    produced: [...new Set(types.filter((type) => type !== ""))],
    parameters: new Set(Object.keys(shape)),
    repeatable: new Set(Object.keys(shape).filter((name) => shape[name]!.safeParse([]).success)),
    defaults: route.query === undefined ? NOTHING : defaults?.success === true ? defaults.data : undefined,
  };
}

async function serve(
  state: RestState,
  router: Router,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const isHead = request.method === "HEAD";
  let call: RestCall | undefined;
  let answer: Answer;
  try {
    const url = request.url ?? "";
    const mark = url.indexOf("?");
    const found = findEndpoint(router, request, response, mark === -1 ? url : url.slice(0, mark));
    if (found === undefined) return;
    const { endpoint, params } = found;
    const { route } = endpoint;
    const principal = callerOf(state, endpoint, request, response);
    state.context.authorizer.admit(principal, route.access);
    if (endpoint.produced.length > 0) chooseType(request.headers.accept, endpoint.produced);
    call = new RestCall(state, request, response, isHead, principal, route.access);
    call.params = readParams(route, params);
    call.query =
      mark === -1 && endpoint.defaults !== undefined
        ? endpoint.defaults
        : readQuery(endpoint, mark === -1 ? "" : url.slice(mark + 1));
    if (route.body === undefined && hasUnreadBody(request)) response.setHeader("connection", "close");
    if (route.body?.kind === "json") call.body = await readBody(route.body, request);
    const handled = route.handle(call);
    answer = handled instanceof Promise ? await handled : handled;
    const sent = sendAnswer(response, answer, call.sending);
    if (sent !== undefined) await spending(state, request, response, principal, sent);
  } catch (error) {
    // Nobody is there to be told.
    if (call?.isGone !== true) fail(state, request, response, error, isHead);
  } finally {
    call?.finish();
    leaveBody(request, response);
  }
}

/** Charges what was sent, also to a caller that did not take all of it. */
async function spending(
  { context }: RestState,
  request: IncomingMessage,
  response: ServerResponse,
  principal: Principal,
  sent: Promise<void>,
): Promise<void> {
  const { socket } = response;
  const sentBefore = socket?.bytesWritten ?? 0;
  try {
    await sent;
  } finally {
    const bytes = Math.max(0, (socket?.bytesWritten ?? 0) - sentBefore);
    const address = (): string => context.network.peerOf(request).address;
    context.network.limits.spend(principal, address, bytes * BYTE_PRICE);
  }
}

/** Errors: `unauthenticated`, `rate-limited`. */
function callerOf(
  { context }: RestState,
  { route, price }: Endpoint,
  request: IncomingMessage,
  response: ServerResponse,
): Principal {
  const { limits } = context.network;
  const address = (): string => context.network.peerOf(request).address;
  const principal = chargedCaller(context, request.headers.authorization, address, price, route.access);
  if (route.access === "anyone") return principal;
  tellStanding(limits, principal, address, response);
  noteCaller(request, principal);
  return principal;
}

/** Answers OPTIONS, and calls that no route takes, itself. */
function findEndpoint(
  router: Router,
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
): { endpoint: Endpoint; params: Readonly<Record<string, string>> } | undefined {
  if (path.length > URL_CHARACTERS_MAX || (request.url?.length ?? 0) > 2 * URL_CHARACTERS_MAX) {
    throw new HttpError(414, "too-large", `the address is longer than ${URL_CHARACTERS_MAX} characters`);
  }
  if (path.charCodeAt(0) !== 0x2f) throw new MicError("usage", "the address is not a path");
  const method = request.method === "HEAD" ? "GET" : (request.method as Method);
  const found = METHODS.includes(method) ? router.find(method, path) : null;
  if (found !== null) {
    const endpoint = found.store as Endpoint | null;
    if (endpoint === null) throw new MicError("usage", "the path is not valid percent-encoded UTF-8");
    const params = found.params as Record<string, string>;
    for (const name in params) if (params[name] === "") throw nothingAt(path);
    return { endpoint, params };
  }
  const allowed: string[] = METHODS.filter((each) => router.find(each, path) !== null);
  if (allowed.length === 0) throw nothingAt(path);
  if (allowed.includes("GET")) allowed.splice(1, 0, "HEAD");
  const allow = [...allowed, "OPTIONS"].join(", ");
  if (request.method === "OPTIONS") {
    response.writeHead(204, { allow });
    response.end();
    return undefined;
  }
  throw new HttpError(405, "usage", `${request.method} is not possible here`, {
    hint: `use ${allowed.join(" or ")}`,
    headers: { allow },
  });
}

function nothingAt(path: string): MicError {
  return new MicError("not-found", `there is nothing at ${JSON.stringify(path.slice(0, 200))}`, {
    hint: "see /api/openapi.json, or /SKILL.md",
  });
}

function readParams(route: Route, params: Readonly<Record<string, string>>): unknown {
  if (route.params === undefined) return NOTHING;
  const rest = params["*"];
  if (rest === undefined) return checked(route.params, params, "parameter");
  const name = /\{\+(\w+)\}$/.exec(route.path)![1]!;
  return checked(route.params, { ...params, "*": undefined, [name]: rest }, "parameter");
}

function readQuery({ route, parameters, repeatable }: Endpoint, text: string): unknown {
  const values = parseQuery(text, parameters, repeatable);
  return route.query === undefined ? NOTHING : checked(route.query, values, "query parameter");
}

async function readBody(
  body: Extract<Route["body"], { kind: "json" }>,
  request: IncomingMessage,
): Promise<unknown> {
  const value = await readJson(request);
  if (value === undefined && body.optional !== true) {
    throw new MicError("usage", "the body is empty", { hint: "send a JSON document" });
  }
  return checked(body.schema, value ?? {}, "body");
}

function fail(
  state: RestState,
  request: IncomingMessage,
  response: ServerResponse,
  error: unknown,
  isHead: boolean,
): void {
  if (response.destroyed) return;
  const answer = problemAnswer(error, state.context, request);
  if (response.headersSent) {
    // What was sent must not pass for the whole.
    response.destroy();
    return;
  }
  if (hasUnreadBody(request)) response.setHeader("connection", "close");
  void sendAnswer(response, answer, { method: isHead ? "HEAD" : "GET", signal: NEVER_ASKED });
}

/** Answers that are one text need no signal. */
const NEVER_ASKED = (): AbortSignal => AbortSignal.abort();

/** What nobody reads would otherwise be taken for the next request. */
function leaveBody(request: IncomingMessage, response: ServerResponse): void {
  if (!response.destroyed && hasUnreadBody(request)) request.resume();
}

function hasUnreadBody(request: IncomingMessage): boolean {
  if (request.complete) return false;
  const { headers } = request;
  const length = headers["content-length"];
  return headers["transfer-encoding"] !== undefined || (length !== undefined && length !== "0");
}

class RestCall implements Call<unknown, unknown, unknown> {
  readonly state: RestState;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly isHead: boolean;
  readonly principal: Principal;
  params: unknown = NOTHING;
  query: unknown = NOTHING;
  body: unknown = undefined;
  readonly #access: Access;
  #gone: AbortController | undefined;
  #ending: Disposable | undefined;
  #project: ProjectId | undefined;

  constructor(
    state: RestState,
    request: IncomingMessage,
    response: ServerResponse,
    isHead: boolean,
    principal: Principal,
    access: Access,
  ) {
    this.state = state;
    this.request = request;
    this.response = response;
    this.isHead = isHead;
    this.principal = principal;
    this.#access = access;
  }

  get forge(): Forge {
    return this.state.context.forge;
  }

  get projects(): OwnedProjects {
    return this.state.context.projects;
  }

  get sending(): { readonly method: Method | "HEAD"; readonly signal: () => AbortSignal } {
    return { method: this.isHead ? "HEAD" : "GET", signal: () => this.signal };
  }

  get signal(): AbortSignal {
    if (this.#gone === undefined) {
      this.#gone = new AbortController();
      if (this.response.destroyed) this.#gone.abort();
      else {
        this.response.once("close", this.#onClose);
        this.#ending = new LastingCall({
          context: this.state.context,
          principal: this.principal,
          access: this.#access,
          project: () => this.#project,
          end: (reason) => this.#gone?.abort(reason),
        });
      }
    }
    return this.#gone.signal;
  }

  get isGone(): boolean {
    return this.response.destroyed;
  }

  readonly #onClose = (): void => {
    if (!this.response.writableFinished) this.#gone?.abort();
  };

  project(): ProjectId | Promise<ProjectId> {
    const { project } = this.params as { readonly project: string };
    const id = this.state.checkProject(project);
    const found = this.state.context.authorizer.project(this.principal, this.#access, id);
    if (typeof found === "string") {
      this.#project = found;
      return found;
    }
    return found.then((project) => {
      this.#project = project;
      return project;
    });
  }

  finish(): void {
    if (this.#gone === undefined) return;
    this.response.off("close", this.#onClose);
    this.#ending?.[Symbol.dispose]();
  }
}
