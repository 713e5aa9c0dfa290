/** The methods on two listeners of their own: gRPC over connections that are injected, and HTTP/1.1. */
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer as createNetServer, type Server, type Socket } from "node:net";
import * as grpc from "@grpc/grpc-js";
import { MicError } from "../../src/core/base/errors.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { NOBODY } from "../../src/server/auth/principal.ts";
import { createContentHandler } from "../../src/server/content/handler.ts";
import type { ServerContext } from "../../src/server/context.ts";
import { addGrpcServices } from "../../src/server/grpc/services.ts";
import { createLiveEvents } from "../../src/server/live/events.ts";
import { notifyingForge } from "../../src/server/live/notifying-forge.ts";
import type { Network } from "../../src/server/network/network.ts";
import { accessForAdministrators, administrator } from "./server-access.ts";

export const TOKEN = "a-token-of-the-owner";

export interface LogLine {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface WireServerOptions {
  /** Default: a forge in memory. */
  readonly forge?: Forge;
  /** Wraps it. */
  readonly wrap?: (forge: Forge) => Forge;
  readonly network?: Network;
}

interface WireServerFields {
  readonly grpcAddress: string;
  readonly url: string;
  readonly context: ServerContext;
  readonly log: readonly LogLine[];
  readonly drain: AbortController;
  readonly close: () => Promise<void>;
}

export class WireServer implements AsyncDisposable {
  /** `host:port` of the gRPC listener. */
  readonly grpcAddress: string;
  /** Of the HTTP/1.1 listener. */
  readonly url: string;
  readonly context: ServerContext;
  readonly log: readonly LogLine[];
  readonly drain: AbortController;
  readonly #close: () => Promise<void>;

  private constructor(fields: WireServerFields) {
    this.grpcAddress = fields.grpcAddress;
    this.url = fields.url;
    this.context = fields.context;
    this.log = fields.log;
    this.drain = fields.drain;
    this.#close = fields.close;
  }

  static async start(options: WireServerOptions = {}): Promise<WireServer> {
    const base = options.forge ?? memoryForge();
    const events = createLiveEvents({ forge: base, clock: systemClock, pollMs: 100 });
    const noticed = notifyingForge(base, events);
    const forge = options.wrap?.(noticed) ?? noticed;
    const log: LogLine[] = [];
    const write = (event: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      log.push({ event, fields });
    };
    const drain = new AbortController();
    const ada = administrator("ada");
    const context: ServerContext = {
      forge,
      events,
      clock: systemClock,
      random: systemRandom,
      log: { info: write, warn: write, error: write },
      authenticate(authorization) {
        if (authorization === undefined) return NOBODY;
        if (authorization === `Bearer ${TOKEN}`) return ada;
        throw new MicError("unauthenticated", "the token is missing or not known");
      },
      ...accessForAdministrators(forge, options.network),
      draining: drain.signal,
      version: "0.0.0-test",
    };
    const grpcServer = new grpc.Server();
    addGrpcServices(grpcServer, context);
    const injector = grpcServer.createConnectionInjector(grpc.ServerCredentials.createInsecure());
    const sockets = new Set<Socket>();
    const grpcListener = createNetServer((socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      socket.on("error", () => socket.destroy());
      injector.injectConnection(socket);
    });
    const handle = createContentHandler(context);
    const httpListener = createHttpServer((request, response) => {
      if (handle(request, response)) return;
      response.writeHead(404);
      response.end();
    });
    const grpcPort = await listen(grpcListener);
    const httpPort = await listen(httpListener);
    const close = async (): Promise<void> => {
      drain.abort();
      for (const socket of sockets) socket.destroy();
      grpcServer.forceShutdown();
      grpcListener.close();
      httpListener.closeAllConnections();
      httpListener.close();
      await events[Symbol.asyncDispose]();
      await base[Symbol.asyncDispose]();
    };
    const grpcAddress = `127.0.0.1:${grpcPort}`;
    return new WireServer({ grpcAddress, url: `http://127.0.0.1:${httpPort}`, context, log, drain, close });
  }

  get forge(): Forge {
    return this.context.forge;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

export function memoryForge(): Forge {
  return new ForgeService({
    store: new MemoryStore(systemClock),
    address: "memory",
    clock: systemClock,
    random: systemRandom,
    trustWriters: false,
  });
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}
