import { describe, expect, test } from "vitest";
import { createEndpointNames } from "../../src/server/http.ts";
import { createLog, formatJsonRecord, formatTextRecord, type LogRecord } from "../../src/server/log.ts";
import { Counter, Histogram, labelText, ServerMetrics } from "../../src/server/metrics.ts";
import { createRouteFinder } from "../../src/server/rest/handler.ts";

const clock = { nowMs: () => Date.UTC(2026, 10, 21), sleep: async () => undefined };

function record(event: string, fields: Record<string, unknown>): LogRecord {
  let written: LogRecord | undefined;
  createLog(clock, (each) => {
    written = each;
  }).warn(event, fields);
  return written!;
}

describe("the log", () => {
  test("is one JSON object for each record", () => {
    const line = formatJsonRecord(record("cut", { connections: 2, n: 5n, none: undefined, time: "no" }));
    expect(JSON.parse(line)).toEqual({
      time: "2026-11-21T00:00:00.000Z",
      level: "warn",
      event: "cut",
      connections: 2,
      n: "5",
    });
  });

  test("never shows a token, wherever it is put", () => {
    const secret = "mic_abcdefghijklmnop";
    const fields = {
      token: secret,
      authorization: `Bearer ${secret}`,
      ownerToken: secret,
      url: `/x?t=${secret}`,
      text: "authorization: bearer other-secret-value",
      error: new Error(`cannot use ${secret}`),
    };
    for (const format of [formatJsonRecord, formatTextRecord]) {
      const line = format(record("call", fields));
      expect(line).not.toContain("abcdefgh");
      expect(line).not.toContain("other-secret-value");
      expect(line).toContain("cannot use");
    }
  });

  test("shows the names of variables, which look like tokens", () => {
    const hint = "name it with MIC_LITESTREAM=/path/to/litestream";
    expect(record("litestream-missing", { hint }).fields).toEqual({ hint });
  });

  test("is one line of printable text for people, whatever was put into it", () => {
    const line = formatTextRecord(
      record("call", { path: "/a\nb\u001b[31m\u202e", status: 200, ok: "/plain" }),
    );
    expect(line).toBe(
      '2026-11-21T00:00:00.000Z warn  call path="/a\\nb\\u001b[31m\\u202e" status=200 ok=/plain',
    );
  });
});

describe("metrics", () => {
  test("counters and histograms follow the text format", () => {
    const metrics = new ServerMetrics({ connections: () => 3, calls: () => 1 }, 5000);
    metrics.request("/healthz", "200", 0.002);
    metrics.request("/healthz", "200", 0.02);
    metrics.request("/healthz", "503", 100);
    const text = metrics.render();
    for (const line of [
      "# TYPE mic_requests_total counter",
      'mic_requests_total{endpoint="/healthz",code="200"} 2',
      'mic_requests_total{endpoint="/healthz",code="503"} 1',
      'mic_request_seconds_bucket{endpoint="/healthz",le="0.001"} 0',
      'mic_request_seconds_bucket{endpoint="/healthz",le="0.0025"} 1',
      'mic_request_seconds_bucket{endpoint="/healthz",le="0.025"} 2',
      'mic_request_seconds_bucket{endpoint="/healthz",le="60"} 2',
      'mic_request_seconds_bucket{endpoint="/healthz",le="+Inf"} 3',
      'mic_request_seconds_count{endpoint="/healthz"} 3',
      "mic_connections 3",
      "mic_calls 1",
      "process_start_time_seconds 5",
    ]) {
      expect(text.split("\n")).toContain(line);
    }
    expect(text).toMatch(/^process_resident_memory_bytes \d{7,}$/m);
    for (const line of text.trimEnd().split("\n")) {
      expect(line).toMatch(/^(?:# (?:HELP|TYPE) .+|[a-z_]+(?:\{(?:[a-z]+="[^"]*",?)+\})? [0-9.e+-]+)$/);
    }
  });

  test("label values are escaped", () => {
    expect(labelText({ a: 'x"y\\z\n' })).toBe('a="x\\"y\\\\z\\n"');
    const counter = new Counter("c", "");
    counter.add(2, 'a="b"');
    expect(counter.value('a="b"')).toBe(2);
    expect([...new Histogram("h", "").samples()]).toEqual([]);
  });

  test.each([
    ["GET", "/healthz", "/healthz"],
    ["GET", "/SKILL.md", "/SKILL.md"],
    ["GET", "/api/mic/projects?limit=1", "/api/mic/projects"],
    ["GET", "/api/mic/projects/org%2Fname", "/api/mic/projects/{project}"],
    ["HEAD", "/api/mic/projects/org%2Fname/head?at=1", "/api/mic/projects/{project}/head"],
    ["GET", "/api/mic/projects/a/files/b/c/d", "/api/mic/projects/{project}/files/{+path}"],
    ["POST", "/api/mic/projects/a/sessions/b/land", "/api/mic/projects/{project}/sessions/{session}/land"],
    ["POST", "/mic.v1.ContentService/GetHead", "/mic.v1.ContentService/GetHead"],
    ["POST", "/mic.v1.A/B/C", "/other"],
    ["POST", "/mic.v1.A/B\u001b", "/other"],
    ["GET", "/nothing/here", "/other"],
    ["BREW", "/api/mic/projects", "/other"],
    ["GET", "", "/other"],
  ])("%s %j is counted as %s", (method, url, endpoint) => {
    const endpointOf = createEndpointNames(createRouteFinder());
    expect(endpointOf(method, url)).toBe(endpoint);
    expect(endpointOf(method, url)).toBe(endpoint);
  });

  test("names that callers make up do not add up", () => {
    const metrics = new ServerMetrics({ connections: () => 0, calls: () => 0 }, 0);
    for (let i = 0; i < 5000; i++) metrics.request(`/mic.v1.A/B${i}`, "200", 0);
    expect(metrics.render().length).toBeLessThan(1 << 20);
    expect(metrics.render()).toContain('mic_requests_total{endpoint="/mic.v1.A/B0",code="200"} 1');
    expect(metrics.render()).toContain('mic_requests_total{endpoint="/other",code="200"} 4500');
  });
});
