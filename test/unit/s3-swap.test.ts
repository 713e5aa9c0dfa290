/** What a swap's answer means: each row of RELIABILITY.md's table, over both transports. */
import { afterEach, describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { systemClock } from "../../src/core/base/system.ts";
import type { CommitOutcome, ETag, ObjectStore } from "../../src/core/store/object-store.ts";
import { openS3Store } from "../../src/core/store/s3/open.ts";
import type { S3Options, S3RequestStats } from "../../src/core/store/s3/options.ts";
import { etagOf } from "../conformance/object-store.ts";
import { xmlAnswer } from "../support/s3-objects.ts";
import { type Misbehaviour, S3Server, type S3ServerOptions } from "../support/s3-server.ts";

describe.each(["fetch", "undici"] as const)("a swap over %s", (transport) => {
  const open: AsyncDisposable[] = [];
  afterEach(async () => {
    for (const thing of open.splice(0).reverse()) await thing[Symbol.asyncDispose]();
  });
  let server: S3Server;
  const stats: S3RequestStats[] = [];

  async function begin(change: Partial<S3Options> = {}, on: S3ServerOptions = {}): Promise<ObjectStore> {
    stats.length = 0;
    server = await S3Server.start(on);
    open.push(server);
    const options = server.options({ transport, onRequest: (seen) => stats.push(seen), ...change });
    const store = await openS3Store(options);
    open.push(store);
    return store;
  }
  function swap(store: ObjectStore, expected: ETag | null, text = "new"): Promise<CommitOutcome> {
    return store.commit([], { key: "head", expected, bytes: utf8(text) });
  }
  function swapsSent(): number {
    return stats.filter(({ operation }) => operation === "swap").length;
  }
  function content(): string | undefined {
    const found = server.objects.objects.get("head");
    return found === undefined ? undefined : new TextDecoder().decode(found.bytes);
  }

  test("that is answered 200 is committed with the answer's ETag, as it is, quotes too", async () => {
    const store = await begin();
    const etag = etagOf(await swap(store, null));
    expect(etag).toMatch(/^"[0-9a-f]{32}"$/);
    expect(etag).toBe(server.objects.objects.get("head")!.etag);
    expect((await swap(store, etag)).kind).toBe("committed");
    expect(server.requests.map(({ headers }) => [headers["if-match"], headers["if-none-match"]])).toEqual([
      [undefined, "*"],
      [etag, undefined],
    ]);
  });

  test("that is answered 412 is lost, whoever won", async () => {
    const store = await begin();
    await swap(store, null, "theirs");
    expect(await swap(store, null)).toEqual({ kind: "lost" });
    expect(await swap(store, '"0"')).toEqual({ kind: "lost" });
    server.misbehave({ kind: "refuse", status: 412 });
    expect(await swap(store, '"0"')).toEqual({ kind: "lost" });
    expect(content()).toBe("theirs");
  });

  test("of a version of a key that is gone is missing, and creates nothing", async () => {
    const store = await begin();
    expect(await swap(store, '"0"')).toEqual({ kind: "missing" });
    expect(server.objects.objects.size).toBe(0);
  });

  test("that answers 404 for another reason is unknown", async () => {
    const store = await begin();
    server.misbehave({ kind: "refuse", status: 404, code: "NoSuchBucket" });
    server.misbehave({ kind: "refuse", status: 404 });
    for (const code of ["not-found", "unreachable"]) {
      expect(await swap(store, '"0"')).toMatchObject({ kind: "unknown", cause: { code } });
    }
    server.misbehave({ kind: "refuse", status: 404, code: "NoSuchKey" });
    expect((await swap(store, null)).kind).toBe("unknown");
  });

  const unknown: [string, Misbehaviour, string | undefined][] = [
    ["409", { kind: "refuse", status: 409, code: "ConditionalRequestConflict" }, undefined],
    ["429", { kind: "refuse", status: 429, headers: { "retry-after": "1" } }, undefined],
    ["500", { kind: "refuse", status: 500, code: "InternalError" }, undefined],
    ["503", { kind: "refuse", status: 503, code: "SlowDown" }, undefined],
    ["400", { kind: "refuse", status: 400, code: "RequestTimeout" }, undefined],
    ["403", { kind: "refuse", status: 403, code: "AccessDenied" }, undefined],
    ["302", { kind: "refuse", status: 302, headers: { location: "https://example.com/" } }, undefined],
    ["304", { kind: "refuse", status: 304 }, undefined],
    ["206", { kind: "say", answer: xmlAnswer(206, "<x/>"), isDone: true }, "new"],
    ["no answer, before it was applied", { kind: "drop" }, undefined],
    ["no answer, after it was applied", { kind: "lose-answer" }, "new"],
    [
      "no answer in time, after it was applied",
      { kind: "delay", ms: Number.POSITIVE_INFINITY, isDone: true },
      "new",
    ],
    ["200 without an ETag", { kind: "strip", headers: ["etag"] }, "new"],
    [
      "a page of somebody else's",
      { kind: "say", answer: xmlAnswer(200, "<html></html>"), isDone: false },
      undefined,
    ],
  ];
  test.each(unknown)("that is answered %s is unknown, and is sent once", async (_, what, left) => {
    const store = await begin({ timeoutMs: what.kind === "delay" ? 300 : 5_000 });
    server.misbehave(what);
    const outcome = await swap(store, null);
    expect(outcome).toMatchObject({ kind: "unknown", cause: { name: "MicError" } });
    expect(server.requests).toHaveLength(1);
    expect(content()).toBe(left);
  });

  test("that is interrupted when it was sent is unknown", async () => {
    const store = await begin();
    server.misbehave({ kind: "delay", ms: Number.POSITIVE_INFINITY, isDone: true });
    const ending = new AbortController();
    const outcome = store.commit(
      [],
      { key: "head", expected: null, bytes: utf8("new") },
      { signal: ending.signal },
    );
    await expect.poll(() => server.requests.length, { timeout: 20_000 }).toBe(1);
    ending.abort();
    expect(await outcome).toMatchObject({ kind: "unknown", cause: { code: "aborted" } });
  });

  test("that finds nobody to send it to throws", async () => {
    const store = await begin();
    await server[Symbol.asyncDispose]();
    await expect(swap(store, null)).rejects.toMatchObject({ code: "unreachable" });
    expect(swapsSent()).toBe(1);
    open.splice(open.indexOf(server), 1);
  });

  test("without credentials throws before it is sent", async () => {
    const store = await begin({
      credentials: {
        get: async () => {
          throw new Error("no credentials");
        },
      },
    });
    await expect(swap(store, null)).rejects.toThrow("no credentials");
    expect(stats).toEqual([]);
  });

  test("is signed with the time of its check, so that a late one is refused", async () => {
    const store = await begin();
    const nowMs = await store.nowMs();
    const at = (checkedAtMs: number): Promise<CommitOutcome> =>
      store.commit([], { key: "head", expected: null, bytes: utf8("new"), checkedAtMs });
    expect(await at(nowMs - 16 * 60_000)).toMatchObject({
      kind: "unknown",
      cause: { data: { s3Code: "RequestTimeTooSkewed" } },
    });
    expect(content()).toBeUndefined();
    expect((await at(nowMs - 14 * 60_000)).kind).toBe("committed");
    const date = new Date(nowMs - 14 * 60_000).toISOString().slice(0, 19).replace(/[-:]/g, "");
    expect(server.requests.at(-1)!.headers["x-amz-date"]).toBe(`${date}Z`);
  });

  test("that is sent to another region is sent once more, there", async () => {
    const store = await begin({ region: "us-east-1" });
    expect((await swap(store, null)).kind).toBe("committed");
    expect(swapsSent()).toBe(2);
    expect(server.requests).toHaveLength(1);
  });

  test("that is redirected twice is unknown", async () => {
    const store = await begin();
    for (const region of ["eu-a-1", "eu-b-1"]) {
      const headers = { "x-amz-bucket-region": region };
      server.misbehave({ kind: "refuse", status: 301, code: "PermanentRedirect", headers });
    }
    // The second comes for a signature of the wrong region, so the server refuses it by itself.
    expect((await swap(store, null)).kind).toBe("unknown");
    expect(swapsSent()).toBe(2);
  });

  test("with expired credentials is unknown, and the next one has new ones", async () => {
    const forced: (boolean | undefined)[] = [];
    const store = await begin({
      credentials: {
        get: async (options) => {
          forced.push(options?.force);
          if (options?.force) server.credentials = { accessKeyId: "KEY2", secretAccessKey: "s2" };
          return server.credentials;
        },
      },
    });
    server.expired.add("KEYID");
    expect(await swap(store, null)).toMatchObject({ kind: "unknown", cause: { code: "unauthenticated" } });
    expect(swapsSent()).toBe(1);
    expect((await swap(store, null)).kind).toBe("committed");
    expect(forced).toEqual([undefined, true, undefined]);
  });

  test("comes after the puts of its commit, and not at all when one fails", async () => {
    const store = await begin();
    const puts = ["a", "b", "c"].map((key) => ({ key, bytes: utf8(key) }));
    server.misbehave({ kind: "delay", ms: 100, isDone: false }, ({ key }) => key === "b");
    expect((await store.commit(puts, { key: "head", expected: null, bytes: utf8("1") })).kind).toBe(
      "committed",
    );
    expect(server.requests.at(-1)!.key).toBe("head");
    const failing = puts.map(({ key, bytes }) => ({ key: `${key}2`, bytes }));
    server.misbehave({ kind: "refuse", status: 403, code: "AccessDenied" }, ({ key }) => key === "b2");
    await expect(
      store.commit(failing, { key: "other", expected: null, bytes: utf8("1") }),
    ).rejects.toMatchObject({ code: "forbidden" });
    expect(server.objects.objects.has("other")).toBe(false);
  });

  test("on Google's stores names generations, in Google's headers alone", async () => {
    const store = await begin({}, { gcs: true });
    const etag = etagOf(await swap(store, null, "same"));
    expect(etag).toMatch(/^\d+$/);
    expect(etagOf(await swap(store, etag, "same"))).not.toBe(etag);
    expect(await swap(store, etag)).toEqual({ kind: "lost" });
    await store.delete(["head"]);
    expect(await swap(store, etag)).toEqual({ kind: "missing" });
    for (const { headers } of server.requests) {
      expect(Object.keys(headers).filter((name) => name.startsWith("x-amz-"))).toEqual([]);
    }
    expect(server.requests[0]!.headers["x-goog-if-generation-match"]).toBe("0");
  });

  test("carries its condition in the signature, so that nobody can take it out", async () => {
    const store = await begin();
    await swap(store, null);
    expect(server.requests[0]!.headers.authorization).toContain("host;if-none-match;x-amz-content-sha256");
    await systemClock.sleep(0);
  });
});
