/** Traces, checks and metrics of a running server. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import * as grpc from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { ServerMetrics } from "../../src/server/metrics.ts";
import { type RunningServer, startServer } from "../../src/server/serve.ts";
import { countUpkeep } from "../../src/server/telemetry/forge-metrics.ts";
import { diskCheck, ReadinessChecks, replicaCheck } from "../../src/server/telemetry/readiness.ts";
import { parseTraceParent, traceHeaders } from "../../src/server/telemetry/trace-context.ts";
import { readTraceSettings } from "../../src/server/telemetry/trace-settings.ts";
import { tracedHttp } from "../../src/server/telemetry/traced-calls.ts";
import { type EndedSpan, Tracer } from "../../src/server/telemetry/tracer.ts";
import { path as pathOf, TestProject } from "../support/forge-project.ts";
import { OtlpCollector } from "../support/otlp-collector.ts";
import { parseExposition } from "../support/prometheus-text.ts";

const TOKEN = "mic_0123456789abcdef0123456789abcdef0123456789abcdef";
const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID = "00f067aa0ba902b7";

let directory: string;
let log: Record<string, unknown>[];

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "mic-telemetry-"));
  log = [];
});
afterEach(() => rmSync(directory, { recursive: true }));

function start(env: Readonly<Record<string, string>> = {}, verbose = false): Promise<RunningServer> {
  return startServer({
    flags: { data: directory, listen: "127.0.0.1:0" },
    world: { env: { MIC_OWNER_TOKEN: TOKEN, ...env }, platform: "linux", isRoot: false, cwd: directory },
    clock: systemClock,
    random: systemRandom,
    version: "1.2.3",
    logFormat: "json",
    writeLog: (line) => log.push(JSON.parse(line)),
    verbose,
  });
}

async function ask({ url }: RunningServer, target: string, headers: Readonly<Record<string, string>> = {}) {
  const answer = await fetch(url + target, { headers: { authorization: `Bearer ${TOKEN}`, ...headers } });
  return { status: answer.status, text: await answer.text() };
}

async function until(holds: () => boolean): Promise<void> {
  const endAt = performance.now() + 10_000;
  while (!holds()) {
    if (performance.now() > endAt) throw new Error(`it did not happen: ${JSON.stringify(log)}`);
    await delay(10);
  }
}

describe("traces", () => {
  const soon = { OTEL_BSP_SCHEDULE_DELAY: "20" };

  test("have a span for each call over each transport, below the caller's, with the store's below it", async () => {
    await using collector = await OtlpCollector.start();
    const env = {
      ...soon,
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_HEADERS: "api-key=of%20the%20collector",
      OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
    };
    await using server = await start(env);
    await using forge = await openRemoteForge(server.url, {
      token: TOKEN,
      clock: systemClock,
      random: systemRandom,
    });
    const project = await TestProject.create(forge, "org/traced");
    await project.land({ put: { a: "a" } });
    const { status } = await ask(server, "/api/mic/projects/org%2Ftraced/landings?limit=1&secret=no", {
      traceparent: `00-${TRACE_ID}-${PARENT_ID}-01`,
      tracestate: "vendor=value",
    });
    expect(status).toBe(400);
    await ask(server, "/api/mic/projects/org%2Ftraced/head", {
      traceparent: `00-${TRACE_ID}-${PARENT_ID}-01`,
    });
    const name = "GET /api/mic/projects/{project}/head";
    await until(() => collector.named(name).length === 1);
    const [span] = collector.named(name);
    expect(span).toMatchObject({ traceId: TRACE_ID, parentSpanId: PARENT_ID, kind: 2 });
    expect(span!.attributes).toMatchObject({
      "http.request.method": "GET",
      "http.response.status_code": 200,
      "enduser.id": "owner",
    });
    expect(BigInt(span!.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(span!.startTimeUnixNano));
    const refused = collector.named("GET /api/mic/projects/{project}/landings");
    expect(refused[0]).toMatchObject({ traceState: "vendor=value" });

    const lands = collector.spans.filter(({ attributes }) => attributes["rpc.method"] === "Land");
    expect(lands.length).toBe(1);
    const commits = collector.named("store commit").filter(({ traceId }) => traceId === lands[0]!.traceId);
    expect(commits.length).toBeGreaterThan(0);
    expect(commits[0]).toMatchObject({ kind: 3, parentSpanId: lands[0]!.spanId });
    expect(lands[0]!.attributes["mic.store.operations"]).toBeGreaterThan(0);

    expect(collector.problems).toEqual([]);
    expect(collector.resources[0]).toMatchObject({
      "service.name": "mic",
      "service.version": "1.2.3",
      "deployment.environment.name": "test",
    });
    expect(collector.headers[0]!["api-key"]).toBe("of the collector");
    expect(JSON.stringify(collector.spans)).not.toContain("secret=no");
    expect(JSON.stringify(collector.spans)).not.toContain(TOKEN);
  });

  test("go through gRPC to what its handlers ask the store, whatever else runs meanwhile", async () => {
    await using collector = await OtlpCollector.start();
    await using server = await start({ ...soon, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
    using client = new RawGrpc(server.url);
    const parent = (i: number) => String(i + 1).padStart(16, "0");
    const answers = Array.from({ length: 20 }, (_, i) =>
      client.ask("/mic.v1.ProjectService/ListProjects", {
        authorization: `Bearer ${TOKEN}`,
        traceparent: `00-${TRACE_ID}-${parent(i)}-01`,
      }),
    );
    expect(await Promise.all(answers)).toEqual(answers.map(() => "OK"));
    expect(
      await client.ask("/mic.v1.ProjectService/ListProjects", { authorization: "Bearer mic_wrong" }),
    ).toBe("UNAUTHENTICATED");
    const name = "mic.v1.ProjectService/ListProjects";
    await until(() => collector.named(name).length === 21);
    const calls = collector.named(name);
    const mine = calls.filter(({ traceId }) => traceId === TRACE_ID);
    expect(new Set(mine.map(({ parentSpanId }) => parentSpanId)).size).toBe(20);
    for (const { spanId, attributes } of mine) {
      expect(attributes).toMatchObject({
        "rpc.method": "ListProjects",
        "rpc.grpc.status_code": 0,
        "enduser.id": "owner",
      });
      const asked = collector.spans.filter(({ parentSpanId }) => parentSpanId === spanId);
      expect(asked.length).toBeGreaterThan(0);
      expect(attributes["mic.store.operations"]).toBe(asked.length);
    }
    const [refused] = calls.filter(({ traceId }) => traceId !== TRACE_ID);
    expect(refused!.attributes).toMatchObject({ "rpc.grpc.status_code": 16 });
    expect(refused!.status).toBeUndefined();
    expect(collector.problems).toEqual([]);
  });

  test("that a caller does not sample are not recorded, and one in many of those that begin here", async () => {
    await using collector = await OtlpCollector.start();
    await using server = await start({
      ...soon,
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
      OTEL_TRACES_SAMPLER_ARG: "0.25",
    });
    for (let i = 0; i < 400; i++) {
      await ask(server, "/api/mic/organizations", { traceparent: `00-${TRACE_ID}-${PARENT_ID}-00` });
      await ask(server, "/healthz");
    }
    await ask(server, "/llms.txt", { traceparent: `00-${TRACE_ID}-${PARENT_ID}-01` });
    await until(() => collector.named("GET /llms.txt").length === 1);
    expect(collector.named("GET /api/mic/organizations").length).toBe(0);
    const sampled = collector.named("GET /healthz").length;
    expect(sampled).toBeGreaterThan(50);
    expect(sampled).toBeLessThan(150);
  });

  test("go on after a collector was away, what did not fit is counted, and what is left goes at the end", async () => {
    await using collector = await OtlpCollector.start();
    collector.statuses.push(503, 400);
    const env = { ...soon, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_MAX_QUEUE_SIZE: "8" };
    const server = await start(env);
    await ask(server, "/healthz");
    // Away at first, then it refuses the batch.
    await until(() => collector.statuses.length === 0);
    collector.statuses.push(503);
    for (let i = 0; i < 100; i++) await ask(server, "/llms.txt");
    const { text } = await ask(server, "/metrics");
    const spans = parseExposition(text).filter(({ name }) => name === "mic_trace_spans_total");
    const count = (result: string): number =>
      spans.find(({ labels }) => labels["result"] === result)?.value ?? 0;
    expect(count("failed")).toBeGreaterThan(0);
    expect(count("dropped")).toBeGreaterThan(0);
    await until(() => collector.spans.length > 0);
    await ask(server, "/SKILL.md");
    await server.drain();
    expect(collector.named("GET /SKILL.md").length).toBe(1);
    expect(log.filter(({ event }) => event === "traces")).toMatchObject([
      { problem: "the collector answered 503" },
    ]);
  });

  test("go on at whoever a request is passed on to", async () => {
    const spans: EndedSpan[] = [];
    const tracer = new Tracer({
      sampler: { ratio: 1, parentBased: true },
      clock: systemClock,
      random: systemRandom,
      elapsedMs: () => performance.now(),
      onEnd: (span) => spans.push(span),
    });
    const seen: unknown[] = [];
    const handler = tracedHttp(
      (request, response) => {
        seen.push(request.headers["traceparent"], request.headers["tracestate"]);
        response.end();
      },
      tracer,
      () => "/somewhere",
    );
    const server = createServer(handler);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const headers = { traceparent: `00-${TRACE_ID}-${PARENT_ID}-01`, tracestate: "a=b" };
    await (await fetch(`http://127.0.0.1:${port}/`, { headers })).text();
    await until(() => spans.length === 1);
    expect(spans[0]!.parentId).toBe(PARENT_ID);
    expect(seen).toEqual([`00-${TRACE_ID}-${spans[0]!.context.spanId}-01`, "a=b"]);
    server.closeAllConnections();
    server.close();
  });

  test("are off unless they are asked for", () => {
    expect(readTraceSettings({})).toBeUndefined();
    expect(readTraceSettings({ OTEL_TRACES_EXPORTER: "none", OTEL_EXPORTER_OTLP_ENDPOINT: "http://x" })).toBe(
      undefined,
    );
    expect(readTraceSettings({ OTEL_SDK_DISABLED: "true", OTEL_TRACES_EXPORTER: "otlp" })).toBeUndefined();
    expect(readTraceSettings({ OTEL_TRACES_EXPORTER: "otlp" })).toMatchObject({
      endpoint: "http://localhost:4318/v1/traces",
      sampler: { ratio: 1, parentBased: true },
      batchMax: 512,
    });
    expect(
      readTraceSettings({
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "https://x.example/own",
        OTEL_SERVICE_NAME: "s",
      }),
    ).toMatchObject({ endpoint: "https://x.example/own", resource: { "service.name": "s" } });
  });

  test.each([
    ["OTEL_TRACES_EXPORTER", "zipkin"],
    ["OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"],
    ["OTEL_EXPORTER_OTLP_HEADERS", "no value"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"],
    ["OTEL_TRACES_SAMPLER", "jaeger_remote"],
    ["OTEL_BSP_SCHEDULE_DELAY", "soon"],
  ])("refuse %s=%s by name", (name, value) => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://x.example", [name]: value };
    expect(() => readTraceSettings(env)).toThrow(name);
  });

  test("take a parent that is right, and begin anew at one that is not", () => {
    const good = `00-${TRACE_ID}-${PARENT_ID}-01`;
    const context = parseTraceParent(good, "a=b")!;
    expect(context).toEqual({ traceId: TRACE_ID, spanId: PARENT_ID, isSampled: true, state: "a=b" });
    expect(traceHeaders(context)).toEqual({ traceparent: good, tracestate: "a=b" });
    expect(parseTraceParent(`cc-${TRACE_ID}-${PARENT_ID}-01-later`, undefined)).toMatchObject({
      isSampled: true,
    });
    for (const bad of [
      "",
      `ff-${TRACE_ID}-${PARENT_ID}-01`,
      `00-${TRACE_ID}-${PARENT_ID}-01-more`,
      `00-${"0".repeat(32)}-${PARENT_ID}-01`,
      `00-${TRACE_ID}-${"0".repeat(16)}-01`,
      `00-${TRACE_ID.toUpperCase()}-${PARENT_ID}-01`,
    ]) {
      expect(parseTraceParent(bad, undefined)).toBeUndefined();
    }
  });
});

/** Empty messages, and the name of the status. */
class RawGrpc implements Disposable {
  readonly #client: grpc.Client;

  constructor(url: string) {
    this.#client = new grpc.Client(new URL(url).host, grpc.credentials.createInsecure());
  }

  async ask(method: string, headers: Readonly<Record<string, string>>): Promise<string> {
    const metadata = new grpc.Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    const asIs = (bytes: Buffer): Buffer => bytes;
    return await new Promise((resolve) => {
      this.#client.makeUnaryRequest(method, asIs, asIs, Buffer.alloc(0), metadata, (error) =>
        resolve(error === null ? "OK" : grpc.status[error.code]!),
      );
    });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

describe("the log", () => {
  test("names the caller, the token's id and the address of a call, and no secret", async () => {
    await using server = await start({}, true);
    await ask(server, "/api/mic/projects");
    await ask(server, "/api/mic/projects", {
      authorization: "Bearer mic_wrongwrongwrongwrongwrongwrongwrong",
    });
    await until(() => log.filter(({ endpoint }) => endpoint === "/api/mic/projects").length === 2);
    const [good, bad] = log.filter(({ endpoint }) => endpoint === "/api/mic/projects");
    expect(good).toMatchObject({ status: 200, account: "owner", address: "127.0.0.1", method: "GET" });
    expect(good!["requestId"]).toMatch(/^[0-9a-f]{16}$/);
    expect(good!["ms"]).toBeGreaterThanOrEqual(0);
    expect(bad).toMatchObject({ status: 401, address: "127.0.0.1" });
    expect(bad!["account"]).toBeUndefined();
    expect(JSON.stringify(log)).not.toMatch(/wrongwrong|0123456789abcdef0123/);
  });
});

describe("checks", () => {
  test("name what they tried, how long it took and whether it went well", async () => {
    await using server = await start();
    const { status, text } = await ask(server, "/readyz?verbose");
    expect(status).toBe(200);
    const { ready, checks } = JSON.parse(text);
    expect(ready).toBe(true);
    expect(checks.map((check: { name: string; ok: boolean }) => [check.name, check.ok])).toEqual([
      ["store", true],
      ["accounts", true],
      ["disk", true],
    ]);
    expect(await ask(server, "/readyz")).toEqual({ status: 200, text: "ok\n" });
  });

  test("fail where they must, all the others are asked, and one that hangs is given up", async () => {
    const checks = new ReadinessChecks({
      checks: [
        diskCheck(directory, Number.MAX_SAFE_INTEGER),
        replicaCheck({
          status: () => ({ role: "follower", generation: 1, lagMs: 61_000, restarts: 0, problem: undefined }),
        }),
        { name: "hangs", problem: "it hangs", run: () => new Promise(() => undefined) },
        { name: "well", problem: "never", run: () => undefined },
      ],
      draining: new AbortController().signal,
      clock: { nowMs: () => 0, sleep: () => delay(5) },
      elapsedMs: () => performance.now(),
      log: { info: fail, warn: fail, error: (event, fields) => log.push({ event, ...fields }) },
    });
    const { problem, checks: results } = await checks.ask();
    expect(problem).toBe("the disk is nearly full");
    expect(results.map(({ name, ok }) => [name, ok])).toEqual([
      ["disk", false],
      ["replica", false],
      ["hangs", false],
      ["well", true],
    ]);
    expect(log.map(({ check }) => check).sort()).toEqual(["disk", "hangs", "replica"]);
  });
});

function fail(): never {
  throw new Error("nothing else is logged");
}

describe("metrics", () => {
  test("are well-formed, and for administrators of the site only", async () => {
    await using server = await start();
    await ask(server, "/api/mic/projects");
    const { status, text } = await ask(server, "/metrics");
    expect(status).toBe(200);
    const samples = parseExposition(text);
    const names = new Set(samples.map(({ name }) => name));
    for (const name of [
      "mic_requests_total",
      "mic_request_seconds_bucket",
      "mic_tokens",
      "mic_users",
      "mic_webhook_messages_waiting",
      "mic_event_loop_lag_seconds",
      "process_resident_memory_bytes",
    ]) {
      expect([...names]).toContain(name);
    }
    expect((await fetch(`${server.url}/metrics`)).status).toBe(401);
    const wrong = { authorization: `Bearer mic_${"x".repeat(43)}` };
    expect((await ask(server, "/metrics", wrong)).status).toBe(401);
    const after = parseExposition((await ask(server, "/metrics")).text);
    expect(after.find(({ name }) => name === "mic_tokens_refused_total")?.value).toBe(1);
  });

  test("tell of upkeep, and of rollups that are damaged", async () => {
    const store = new MemoryStore(systemClock);
    const open = () =>
      new ForgeService({
        store,
        address: "memory",
        clock: systemClock,
        random: systemRandom,
        trustWriters: true,
      });
    await using first = open();
    const metrics = new ServerMetrics({ connections: () => 0, calls: () => 0 }, 0);
    for (const metric of countUpkeep(first)) metrics.add(metric);
    const project = await TestProject.create(first, "org/long");
    for (let i = 0; i < 101; i++) await project.land({ put: { a: String(i) } });
    await first.upkeep(project.id);
    const read = (name: string) => parseExposition(metrics.render()).find((each) => each.name === name);
    expect(read("mic_upkeep_total")).toMatchObject({ labels: { what: "rollups" }, value: 1 });
    expect(read("mic_rollups_damaged")?.value).toBe(0);

    const get = store.get.bind(store);
    store.get = async (key, options) => {
      const found = await get(key, options);
      if (found === undefined || !key.includes("/landing-log/")) return found;
      return { ...found, bytes: found.bytes.map((byte) => byte ^ 1) };
    };
    await using second = open();
    const [damaged, fallbacks] = countUpkeep(second).slice(-2);
    for await (const _ of second.listLandings(project.id, { paths: [pathOf("a")] })) break;
    expect([...damaged!.samples()][0]![2]).toBeGreaterThan(0);
    expect([...fallbacks!.samples()][0]![2]).toBeGreaterThan(0);
  });
});
