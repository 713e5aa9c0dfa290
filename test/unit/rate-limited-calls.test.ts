/** Budgets over gRPC and the content transport, and a client that waits as long as it is told. */
import * as grpc from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import type { Clock } from "../../src/core/base/clock.ts";
import { MicError } from "../../src/core/base/errors.ts";
import type { Position, ProjectId } from "../../src/core/base/ids.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import { NOBODY, type Principal } from "../../src/server/auth/principal.ts";
import { enter, openCall } from "../../src/server/methods/open-call.ts";
import type { Network } from "../../src/server/network/network.ts";
import { BYTE_PRICE } from "../../src/server/network/prices.ts";
import { path, TestProject } from "../support/forge-project.ts";
import { RestServer } from "../support/rest-server.ts";
import { administrator, networkOf } from "../support/server-access.ts";
import { memoryForge, TOKEN, WireServer } from "../support/wire-server.ts";

let server: WireServer | undefined;
afterEach(async () => {
  await server?.[Symbol.asyncDispose]();
  server = undefined;
});

/** One unit a second, 60 at once. */
async function start(): Promise<{ server: WireServer; project: ProjectId }> {
  const started = await WireServer.start({ network: networkOf({ rateLimit: "1,1" }) });
  server = started;
  const { id } = await TestProject.create(started.forge, "ada/notes");
  return { server: started, project: id };
}

/** Takes what there is, and what comes in the next two seconds: as long as a busy machine may take to call. */
function empty({ context }: WireServer): void {
  context.network.limits.spend(administrator("ada"), () => "127.0.0.1", 62);
}

function remote({ url, grpcAddress }: WireServer, transport: "http" | "grpc", clock: Clock = systemClock) {
  const origin = transport === "http" ? url : `http://${grpcAddress}`;
  return openRemoteForge(origin, { token: TOKEN, clock, random: systemRandom, transport });
}

/** A client that knows no message. */
class RawClient implements Disposable {
  readonly #client: grpc.Client;

  constructor(address: string) {
    this.#client = new grpc.Client(address, grpc.credentials.createInsecure());
  }

  call(method: string, request: Buffer): Promise<grpc.ServiceError | null> {
    const metadata = new grpc.Metadata();
    metadata.set("authorization", `Bearer ${TOKEN}`);
    const asIs = (bytes: Buffer): Buffer => bytes;
    return new Promise((resolve) => {
      this.#client.makeUnaryRequest(method, asIs, asIs, request, metadata, (error) => resolve(error));
    });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** Records what is slept. */
function recording(): { clock: Clock; slept: number[] } {
  const slept: number[] = [];
  const clock: Clock = {
    nowMs: () => systemClock.nowMs(),
    sleep: (durationMs, signal) => {
      slept.push(durationMs);
      return systemClock.sleep(durationMs, signal);
    },
  };
  return { clock, slept };
}

test("gRPC answers RESOURCE_EXHAUSTED before the request is read", async () => {
  const { server: at } = await start();
  empty(at);
  using client = new RawClient(at.grpcAddress);
  // No method could make anything of it.
  const error = await client.call("/mic.v1.ContentService/Blame", Buffer.from("ffffffff", "hex"));
  expect(error?.code).toBe(grpc.status.RESOURCE_EXHAUSTED);
});

describe.each(["http", "grpc"] as const)("over %s", (transport) => {
  test("a budget that is used up is `rate-limited`, with the time to wait", async () => {
    const { server: at, project } = await start();
    empty(at);
    at.context.network.limits.spend(administrator("ada"), () => "", 1_000);
    await using forge = await remote(at, transport);
    const error = await forge.getHead(project).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(MicError);
    expect(error).toMatchObject({
      code: "rate-limited",
      kind: "retry",
      data: { retryAfterMs: expect.any(Number) },
    });
    // Longer than a program should wait for.
    expect((error as MicError).data["retryAfterMs"]).toBeGreaterThan(30_000);
  });

  test("a client waits as long as it is told, and then gets its answer", async () => {
    const { server: at, project } = await start();
    empty(at);
    const { clock, slept } = recording();
    await using forge = await remote(at, transport, clock);
    expect((await forge.getHead(project)).position).toBe(0);
    // A tenth of a unit, one a second.
    expect(slept.filter((ms) => ms >= 40 && ms < 100_000).length).toBeGreaterThan(0);
  });

  test("a landing that was refused for the rate lands once, later", async () => {
    const { server: at, project } = await start();
    empty(at);
    await using forge = await remote(at, transport);
    const mine = new TestProject(forge, project);
    expect((await mine.land({ put: { a: "1" } })).position).toBe(1);
    expect((await at.forge.getHead(project)).position).toBe(1);
  });
});

describe("bytes that are sent are charged", () => {
  const LARGE = new Uint8Array(8 << 20).map((_, i) => (i * 2654435761) >>> 13);
  let spent: [string | undefined, number][] = [];
  /** In bytes. */
  const sum = () => spent.reduce((total, [, units]) => total + units, 0) / BYTE_PRICE;
  const counting = (): Network => ({
    ...networkOf({}),
    limits: {
      charge: () => undefined,
      attempt: () => undefined,
      standing: () => undefined,
      spend: ({ userId }, _address, units) => void spent.push([userId, units]),
    },
  });

  test.each(["http", "grpc"] as const)("over %s, once they were sent", async (transport) => {
    server = await WireServer.start({ network: counting() });
    const local = await TestProject.create(server.forge, "ada/notes");
    await local.land({ put: { large: LARGE } });
    await using forge = await remote(server, transport);
    const found = await forge.getPath(local.id, 1 as Position, path("large"));
    if (found?.kind !== "entry") throw new Error("not found");
    spent = [];
    let received = 0;
    for await (const part of forge.readFile(local.id, found)) received += part.length;
    expect(received).toBe(LARGE.length);
    await expect.poll(() => sum() / LARGE.length).toBeGreaterThan(0.9);
    expect(sum() / LARGE.length).toBeLessThan(1.2);
    expect(spent.every(([userId]) => userId === administrator("ada").userId)).toBe(true);

    spent = [];
    for await (const part of forge.readFile(local.id, found)) if (part.length > 0) break;
    // Also to a caller that hangs up.
    await expect.poll(() => sum()).toBeGreaterThan(10_000);
  });

  test("over REST, also to a caller that hangs up", async () => {
    await using rest = await RestServer.start({ network: counting() });
    const local = await TestProject.create(rest.forge, "ada/notes");
    await local.land({ put: { large: LARGE } });
    spent = [];
    for (const isWhole of [true, false]) {
      const response = await fetch(`${rest.url}/api/mic/projects/${local.id}/files/large`, {
        headers: { authorization: `Bearer ${TOKEN}` },
      });
      const reader = response.body!.getReader();
      let received = 0;
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        received += next.value.length;
        if (!isWhole) break;
      }
      await reader.cancel();
      await expect.poll(() => sum()).toBeGreaterThan(isWhole ? LARGE.length * 0.9 : 10_000);
      if (isWhole) expect(received).toBe(LARGE.length);
      spent = [];
    }
  });

  /** Files of this forge end after a MiB. */
  const cut = (forge: Forge): Forge =>
    new Proxy(forge, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        if (name !== "readFile" && name !== "readObjects") return value.bind(target);
        return async function* (...args: unknown[]) {
          let bytes = 0;
          for await (const part of value.apply(target, args) as AsyncIterable<Uint8Array>) {
            yield part;
            bytes += part.length;
            if (bytes > 1 << 20) throw new MicError("corrupt", "the rest of it is gone");
          }
        };
      },
    });

  test("over REST, also where the content ends half way", async () => {
    await using rest = await RestServer.start({ network: counting(), forge: cut(memoryForge()) });
    const local = await TestProject.create(rest.forge, "ada/notes");
    await local.land({ put: { large: LARGE } });
    spent = [];
    const response = await fetch(`${rest.url}/api/mic/projects/${local.id}/files/large`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    await expect(response.arrayBuffer()).rejects.toThrow();
    expect(sum()).toBeGreaterThan(10_000);
  });

  test("over gRPC, also where the content ends half way", async () => {
    server = await WireServer.start({ network: counting(), wrap: cut });
    const local = await TestProject.create(server.forge, "ada/notes");
    await local.land({ put: { large: LARGE } });
    await using forge = await remote(server, "grpc");
    const found = await forge.getPath(local.id, 1 as Position, path("large"));
    if (found?.kind !== "entry") throw new Error("not found");
    spent = [];
    await expect(Array.fromAsync(forge.readFile(local.id, found))).rejects.toThrow();
    await expect.poll(() => sum()).toBeGreaterThan(10_000);
  });
});

test("places of a method are counted for each address of those who have not signed in, and for each user", async () => {
  server = await WireServer.start();
  const { context } = server;
  const method = { path: "/a", callsMax: 1, access: "project-read" } as never;
  const { signal } = new AbortController();
  const enters = async (principal: Principal, address: string): Promise<Disposable | "waits"> => {
    const entered = enter(
      method,
      openCall(context, principal, method, signal, { address: () => address, origin: () => undefined }),
    );
    return (await Promise.race([entered, systemClock.sleep(20).then(() => "waits" as const)])) as Disposable;
  };
  const held = await enters(NOBODY, "203.0.113.7");
  expect(held).not.toBe("waits");
  expect(await enters(NOBODY, "203.0.113.7")).toBe("waits");
  expect(await enters(NOBODY, "203.0.113.8")).not.toBe("waits");
  expect(await enters(administrator("ada"), "203.0.113.7")).not.toBe("waits");
  expect(await enters(administrator("ada"), "203.0.113.9")).toBe("waits");
});
