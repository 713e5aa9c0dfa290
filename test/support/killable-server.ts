/** A server on a port of its own that can be killed in the middle of a call and started again. */
import { createServer, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { MicError } from "../../src/core/base/errors.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { openRemoteForge, type RemoteForgeOptions } from "../../src/core/remote/remote-forge.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { createContentHandler } from "../../src/server/content/handler.ts";
import { createLiveEvents } from "../../src/server/live/events.ts";
import { accessForAdministrators, administrator } from "./server-access.ts";

/**
 * `before`: the call never reaches the forge. `after`: the forge has done it, and nobody hears of it. `refuse`: the
 * server lives and says that the caller may not.
 */
export type Fault = "before" | "after" | "refuse";

export class KillableServer implements AsyncDisposable {
  /** Of the forge behind it, by method. */
  readonly calls: string[] = [];
  readonly forge: Forge;
  /** For the next calls of these methods, in turn. */
  readonly faults = new Map<string, Fault[]>();
  /** How many a fetch with a fault answers first: changes, then their count, then frames. */
  fetchItems = 1;
  /** Undefined: it stays dead. */
  restartAfterMs: number | undefined = 100;
  #port = 0;
  #server: Server | undefined;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.forge = new ForgeService({
      store: new MemoryStore(systemClock),
      address: "memory",
      clock: systemClock,
      random: systemRandom,
      trustWriters: false,
    });
  }

  static async start(): Promise<KillableServer> {
    const server = new KillableServer();
    await server.restart();
    return server;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  client(options: Partial<RemoteForgeOptions> = {}): Promise<Forge> {
    return openRemoteForge(this.origin, {
      clock: systemClock,
      random: systemRandom,
      timeoutMs: 15_000,
      ...options,
    });
  }

  async restart(): Promise<void> {
    const ada = administrator("ada");
    const handle = createContentHandler({
      forge: this.#faulty(),
      events: createLiveEvents({ forge: this.forge, clock: systemClock, pollMs: 1000 }),
      clock: systemClock,
      random: systemRandom,
      log: { info: ignore, warn: ignore, error: ignore },
      authenticate: () => ada,
      ...accessForAdministrators(this.forge),
      draining: new AbortController().signal,
      version: "0.0.0-test",
    });
    const server = createServer((request, response) => {
      handle(request, response);
    });
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  kill(): void {
    this.#server?.close();
    this.#server?.closeAllConnections();
    for (const socket of this.#sockets) socket.destroy();
    this.#server = undefined;
    if (this.restartAfterMs !== undefined) setTimeout(() => void this.restart(), this.restartAfterMs);
  }

  #faulty(): Forge {
    return new Proxy(this.forge, {
      get: (target, key: keyof Forge) => {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== "function") return value;
        return (...args: unknown[]): unknown => {
          this.calls.push(String(key));
          const fault = this.faults.get(String(key))?.shift();
          if (fault === undefined) return value.apply(target, args);
          if (key === "readObjects") return this.#dieAfter(1, value.apply(target, args));
          if (key === "fetch") return this.#dieAfter(this.fetchItems, value.apply(target, args));
          return this.#die(fault, () => value.apply(target, args) as Promise<unknown>);
        };
      },
    });
  }

  async *#dieAfter(count: number, items: AsyncIterable<unknown>): AsyncGenerator<unknown> {
    let left = count;
    for await (const item of items) {
      yield item;
      if (--left > 0) continue;
      // What was sent has time to arrive.
      await new Promise((resolve) => setTimeout(resolve, 50));
      this.kill();
      await new Promise(() => undefined);
    }
  }

  async #die(fault: Fault, call: () => Promise<unknown>): Promise<unknown> {
    if (fault === "refuse") throw new MicError("forbidden", "not yours");
    if (fault === "after") await call();
    this.kill();
    return new Promise(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.restartAfterMs = undefined;
    this.kill();
    await this.forge[Symbol.asyncDispose]();
  }
}

function ignore(): void {
  // Nobody reads the log.
}
