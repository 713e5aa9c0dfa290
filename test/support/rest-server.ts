/** The REST handler on a listener of its own, and a client that holds every answer to what its route declares. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { z } from "zod";
import { MicError } from "../../src/core/base/errors.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { NOBODY } from "../../src/server/auth/principal.ts";
import type { ServerContext } from "../../src/server/context.ts";
import { createLiveEvents } from "../../src/server/live/events.ts";
import { notifyingForge } from "../../src/server/live/notifying-forge.ts";
import type { Network } from "../../src/server/network/network.ts";
import { createRestHandler, createRouteFinder } from "../../src/server/rest/handler.ts";
import { statusesOf } from "../../src/server/rest/openapi.ts";
import type { RestOptions } from "../../src/server/rest/rest-state.ts";
import type { Route } from "../../src/server/rest/route.ts";
import { problem } from "../../src/server/rest/schemas.ts";
import { accessForAdministrators, administrator } from "./server-access.ts";

export const TOKEN = "a-token-of-the-owner";

export interface LogLine {
  readonly level: "info" | "warn" | "error";
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface RestServerOptions extends RestOptions {
  /** Default: a forge in memory. */
  readonly forge?: Forge;
  readonly network?: Network;
}

export class RestServer implements AsyncDisposable {
  readonly url: string;
  readonly forge: Forge;
  readonly log: readonly LogLine[];
  readonly drain: AbortController;
  /** Connections that have ended. */
  ended = 0;
  readonly #server: Server;
  readonly #close: () => Promise<void>;

  private constructor(fields: {
    url: string;
    forge: Forge;
    log: readonly LogLine[];
    drain: AbortController;
    server: Server;
    close: () => Promise<void>;
  }) {
    this.url = fields.url;
    this.forge = fields.forge;
    this.log = fields.log;
    this.drain = fields.drain;
    this.#server = fields.server;
    this.#close = fields.close;
    this.#server.on("connection", (socket) => {
      socket.once("close", () => this.ended++);
    });
  }

  static async start(options: RestServerOptions = {}): Promise<RestServer> {
    const base =
      options.forge ??
      new ForgeService({
        store: new MemoryStore(systemClock),
        address: "memory",
        clock: systemClock,
        random: systemRandom,
        trustWriters: false,
      });
    const events = createLiveEvents({ forge: base, clock: systemClock, pollMs: 100 });
    const forge = notifyingForge(base, events);
    const log: LogLine[] = [];
    const write =
      (level: LogLine["level"]) =>
      (event: string, fields: Readonly<Record<string, unknown>> = {}): void => {
        log.push({ level, event, fields });
      };
    const drain = new AbortController();
    const ada = administrator("ada");
    const context: ServerContext = {
      forge,
      events,
      clock: systemClock,
      random: systemRandom,
      log: { info: write("info"), warn: write("warn"), error: write("error") },
      authenticate(authorization) {
        if (authorization === undefined) return NOBODY;
        if (authorization === `Bearer ${TOKEN}`) return ada;
        throw new MicError("unauthenticated", "the token is missing or not known");
      },
      ...accessForAdministrators(forge, options.network),
      draining: drain.signal,
      version: "0.0.0-test",
    };
    const server = createServer(createRestHandler(context, options));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const close = async (): Promise<void> => {
      await events[Symbol.asyncDispose]();
      await base[Symbol.asyncDispose]();
    };
    return new RestServer({ url: `http://127.0.0.1:${port}`, forge, log, drain, server, close });
  }

  client(): RestClient {
    return new RestClient(this.url);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.drain.abort();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await this.#close();
  }
}

export interface RestReply {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
  readonly text: string;
  /** Parsed where it is JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into documents of every shape
  readonly json: any;
}

export interface RestRequest {
  readonly body?: unknown;
  readonly bytes?: Uint8Array | string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Without the token. */
  readonly anonymous?: boolean;
  /** Called with all that came whenever more did: an answer may go on until something is done. */
  readonly onText?: (text: string) => void;
}

const findRoute = createRouteFinder();

/** Every answer must have a status and a shape that its route declares. */
export class RestClient {
  readonly url: string;
  /** Operation ids that answered with success. */
  readonly succeeded: Set<string> = new Set();

  constructor(url: string) {
    this.url = url;
  }

  async call(method: string, path: string, request: RestRequest = {}): Promise<RestReply> {
    const headers: Record<string, string> = { ...request.headers };
    if (request.anonymous !== true) headers["authorization"] ??= `Bearer ${TOKEN}`;
    const init: RequestInit = { method, headers, redirect: "manual" };
    if (request.body !== undefined) {
      headers["content-type"] ??= "application/json";
      init.body = JSON.stringify(request.body);
    } else if (request.bytes !== undefined) init.body = request.bytes as string;
    const response = await fetch(this.url + path, init);
    const bytes = await readAll(response, request.onText);
    const text = Buffer.from(bytes).toString();
    const type = response.headers.get("content-type") ?? "";
    const json = /\bjson\b/.test(type) && text !== "" ? JSON.parse(text) : undefined;
    const reply = { status: response.status, headers: response.headers, bytes, text, json };
    this.#check(method, path, reply);
    return reply;
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<RestReply> {
    return this.call("GET", path, { headers });
  }

  post(path: string, body?: unknown): Promise<RestReply> {
    return this.call("POST", path, body === undefined ? {} : { body });
  }

  #check(method: string, path: string, reply: RestReply): void {
    const route = findRoute(method, path.split("?", 1)[0]!);
    const where = `${method} ${path.slice(0, 200)} → ${reply.status} ${reply.text.slice(0, 300)}`;
    if (reply.status >= 400) {
      const isHead = method === "HEAD";
      if (!isHead) checkProblem(reply, where);
      if (route !== undefined && !statusesOf(route).has(reply.status) && reply.status !== 414) {
        throw new Error(`${where}: not declared by ${route.id}`);
      }
      return;
    }
    if (method === "OPTIONS") return;
    if (route === undefined) throw new Error(`${where}: answered without a route`);
    checkSuccess(route, method, reply, where);
    this.succeeded.add(route.id);
  }
}

async function readAll(response: Response, onText: RestRequest["onText"]): Promise<Uint8Array> {
  if (onText === undefined) return new Uint8Array(await response.arrayBuffer());
  const parts: Uint8Array[] = [];
  for await (const part of response.body ?? []) {
    parts.push(part);
    onText(Buffer.concat(parts).toString());
  }
  return Buffer.concat(parts);
}

function checkProblem(reply: RestReply, where: string): void {
  if (reply.headers.get("content-type") !== "application/problem+json")
    throw new Error(`${where}: no problem document`);
  const parsed = problem.safeParse(reply.json);
  if (!parsed.success) throw new Error(`${where}: ${z.prettifyError(parsed.error)}`);
  if (parsed.data.status !== reply.status) throw new Error(`${where}: another status in the document`);
}

function checkSuccess(route: Route, method: string, reply: RestReply, where: string): void {
  const declared = route.answers.filter(({ status }) => status === reply.status);
  if (declared.length === 0) throw new Error(`${where}: status not declared by ${route.id}`);
  const type = reply.headers.get("content-type");
  if (reply.status === 204 || (reply.status >= 300 && reply.status < 400) || method === "HEAD") {
    if (reply.bytes.length > 0) throw new Error(`${where}: has a body`);
    return;
  }
  const answer = declared.find(
    (each) => (each.schema === undefined ? each.type : "application/json") === type,
  );
  if (answer === undefined) throw new Error(`${where}: content type ${type} is not declared by ${route.id}`);
  if (answer.schema === undefined) return;
  const parsed = answer.schema.safeParse(reply.json);
  if (!parsed.success) throw new Error(`${where}: ${z.prettifyError(parsed.error)}`);
}
