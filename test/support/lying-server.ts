/** A real server over real sockets whose forge begins to lie when a test says so. */
import { systemClock } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import type { WorkspaceContext } from "../../src/core/workspace/context.ts";
import { TOKEN, WireServer } from "./wire-server.ts";

export class LyingServer implements AsyncDisposable {
  /** A client of it. */
  readonly forge: Forge;
  readonly url: string;
  readonly #server: WireServer;
  readonly #said: { forge: Forge; readonly honest: Forge };

  private constructor(server: WireServer, forge: Forge, said: { forge: Forge; readonly honest: Forge }) {
    this.#server = server;
    this.#said = said;
    this.forge = forge;
    this.url = server.url;
  }

  static async start(transport: "http" | "grpc" = "http"): Promise<LyingServer> {
    let said: { forge: Forge; readonly honest: Forge } | undefined;
    const server = await WireServer.start({
      wrap: (honest) => {
        const state = { forge: honest, honest };
        said = state;
        return new Proxy(honest, {
          get(_target, key) {
            const value: unknown = Reflect.get(state.forge, key);
            return typeof value === "function" ? value.bind(state.forge) : value;
          },
        });
      },
    });
    const origin = transport === "http" ? server.url : `http://${server.grpcAddress}`;
    return new LyingServer(server, await openClient(origin, transport), said!);
  }

  /** From now on. Without an argument it says the truth again. */
  lie(make: (honest: Forge) => Forge = (honest) => honest): void {
    this.#said.forge = make(this.#said.honest);
  }

  /** For a workspace whose forge is this one. */
  context(): Partial<WorkspaceContext> {
    return { openForge: async () => this.forge };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.forge[Symbol.asyncDispose]();
    await this.#server[Symbol.asyncDispose]();
  }
}

/** The client as the command line opens it, with less patience and without waits between attempts. */
export function openClient(origin: string, transport: "http" | "grpc" = "http"): Promise<Forge> {
  const random = { bytes: (count: number) => new Uint8Array(count) };
  return openRemoteForge(origin, { token: TOKEN, clock: systemClock, random, timeoutMs: 2_000, transport });
}
