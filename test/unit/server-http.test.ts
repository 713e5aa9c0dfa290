import { describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import type { ServerContext } from "../../src/server/context.ts";
import { createHttpHandler } from "../../src/server/http.ts";
import { createLog, type LogRecord } from "../../src/server/log.ts";
import { ServerMetrics } from "../../src/server/metrics.ts";
import { accessForAdministrators, administrator } from "../support/server-access.ts";
import { openTestPort } from "../support/test-port.ts";

interface Store {
  fails: boolean;
  asked: number;
}

async function serve(store: Store) {
  const logged: LogRecord[] = [];
  const draining = new AbortController();
  const forge = {
    async listProjects() {
      store.asked++;
      if (store.fails) throw new MicError("unreachable", "the disk is gone: mic_secretsecret");
      return { items: [] };
    },
  } as unknown as Forge;
  const context: ServerContext = {
    forge,
    events: undefined as never,
    clock: systemClock,
    random: systemRandom,
    log: createLog(systemClock, (record) => logged.push(record)),
    authenticate: (header) => {
      if (header !== "Bearer right") throw new MicError("unauthenticated", "no");
      return administrator("owner");
    },
    ...accessForAdministrators(forge),
    draining: draining.signal,
    version: "0",
  };
  const opened = await openTestPort(
    createHttpHandler({
      context,
      metrics: new ServerMetrics({ connections: () => 0, calls: () => 0 }, 0),
      rest: ({ url }, response) => void response.end(`rest ${url}`),
      content: ({ url }, response) => response.end(`content ${url}`),
    }),
  );
  const ask = async (path: string, init: RequestInit = {}) => {
    const answer = await fetch(`http://127.0.0.1:${opened.port.number}${path}`, init);
    return `${answer.status} ${await answer.text()}`;
  };
  return { ask, logged, draining, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
}

describe("createHttpHandler()", () => {
  test("is ready while the store answers, and asks it no more than once a second", async () => {
    const store = { fails: false, asked: 0 };
    await using server = await serve(store);
    const answers = await Promise.all(Array.from({ length: 50 }, () => server.ask("/readyz")));
    expect(new Set(answers)).toEqual(new Set(["200 ok\n"]));
    expect(store.asked).toBe(1);
  });

  test("is healthy but not ready when the store fails, and says why only in the log", async () => {
    await using server = await serve({ fails: true, asked: 0 });
    expect(await server.ask("/readyz")).toBe("503 the store does not answer\n");
    expect(await server.ask("/healthz")).toBe("200 ok\n");
    expect(server.logged[0]).toMatchObject({ level: "error", event: "not-ready" });
    expect(JSON.stringify(server.logged)).not.toContain("secretsecret");
  });

  test("is not ready when it drains", async () => {
    await using server = await serve({ fails: false, asked: 0 });
    server.draining.abort();
    expect(await server.ask("/readyz")).toBe("503 shutting down\n");
    expect(await server.ask("/healthz")).toBe("200 ok\n");
  });

  test("sends each path to its part", async () => {
    await using server = await serve({ fails: false, asked: 0 });
    expect(await server.ask("/mic.v1.A/B", { method: "POST" })).toBe("200 content /mic.v1.A/B");
    expect(await server.ask("/api/mic/projects?a")).toBe("200 rest /api/mic/projects?a");
    expect(await server.ask("/healthz/x")).toBe("200 rest /healthz/x");
    expect(await server.ask("/healthz?x", { method: "POST" })).toBe("405 use GET\n");
    expect(await server.ask("/healthz", { method: "HEAD" })).toBe("200 ");
    expect(await server.ask("/metrics")).toBe("401 no\n");
    expect(await server.ask("/metrics", { headers: { authorization: "Bearer right" } })).toMatch(
      /^200 # HELP/,
    );
  });
});
