/** What may be repeated, is, until it succeeds or cannot; what a store's answers leave no doubt about is believed. */
import { afterEach, describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import type { Clock } from "../../src/core/base/clock.ts";
import { systemClock } from "../../src/core/base/system.ts";
import { S3Client } from "../../src/core/store/s3/client.ts";
import { putParts } from "../../src/core/store/s3/multipart.ts";
import { openS3Store, type S3Store } from "../../src/core/store/s3/open.ts";
import type { S3Options, S3RequestStats } from "../../src/core/store/s3/options.ts";
import { StoreTime } from "../../src/core/store/s3/store-time.ts";
import { listAll } from "../conformance/object-store.ts";
import { errorAnswer, xmlAnswer } from "../support/s3-objects.ts";
import { type Misbehaviour, S3Server, type S3ServerOptions } from "../support/s3-server.ts";

const slept: number[] = [];
/** Does not wait between attempts; a timeout stays one. */
const impatientClock: Clock = {
  nowMs: () => systemClock.nowMs(),
  async sleep(durationMs, signal) {
    if (durationMs >= 12_000) return systemClock.sleep(durationMs, signal);
    slept.push(durationMs);
  },
};

const open: AsyncDisposable[] = [];
let server: S3Server;
const stats: S3RequestStats[] = [];

afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing[Symbol.asyncDispose]();
});

async function begin(change: Partial<S3Options> = {}, on: S3ServerOptions = {}): Promise<S3Store> {
  slept.length = 0;
  stats.length = 0;
  server = await S3Server.start(on);
  open.push(server);
  const store = await openS3Store(
    server.options({ clock: impatientClock, onRequest: (seen) => stats.push(seen), ...change }),
  );
  open.push(store);
  return store;
}
function text(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

const passing: [string, Misbehaviour][] = [
  ["500", { kind: "refuse", status: 500, code: "InternalError" }],
  ["502 of a proxy", { kind: "refuse", status: 502 }],
  ["503 SlowDown", { kind: "refuse", status: 503, code: "SlowDown" }],
  ["429", { kind: "refuse", status: 429 }],
  ["400 RequestTimeout", { kind: "refuse", status: 400, code: "RequestTimeout" }],
  ["a connection that ends", { kind: "drop" }],
  ["a lost answer", { kind: "lose-answer" }],
  ["an answer that is cut off", { kind: "truncate" }],
];

describe.each(["fetch", "undici"] as const)("over %s", (transport) => {
  test.each(passing)("every repeatable operation survives %s", async (_, what) => {
    const store = await begin({ transport });
    const once = (): void => server.misbehave(what, ({ method }) => method !== "HEAD", 2);
    once();
    await store.put("a/b", utf8("content"));
    once();
    expect(text((await store.get("a/b"))?.bytes)).toBe("content");
    once();
    expect(text((await store.get("a/b", { range: { offset: 1, length: 3 } }))?.bytes)).toBe("ont");
    once();
    expect(await store.revalidate("a/b", '"x"')).toMatchObject({ bytes: utf8("content") });
    await store.put("a/c", utf8("c"));
    once();
    expect((await listAll(store, "a/")).map(({ key }) => key)).toEqual(["a/b", "a/c"]);
    once();
    await store.delete(["a/b", "a/c"]);
    expect(server.objects.objects.size).toBe(0);
    once();
    await store.delete(["a/b"]);
    expect(server.plansLeft).toBe(0);
  });
});

test("waits grow, have full jitter, and a Retry-After comes on top", async () => {
  const store = await begin({ random: { bytes: (count) => new Uint8Array(count).fill(0x80) } });
  await store.put("k", utf8("x"));
  server.misbehave({ kind: "refuse", status: 503 }, undefined, 3);
  server.misbehave({ kind: "refuse", status: 503, headers: { "retry-after": "3" } });
  server.misbehave({ kind: "refuse", status: 503, headers: { "retry-after": "3600" } });
  await store.get("k");
  const expected = [50, 100, 201, 3_402, 10_803];
  for (const [i, ms] of expected.entries()) expect(slept[i]).toBeCloseTo(ms, -1);
  expect(slept).toHaveLength(expected.length);
});

test("an operation gives up after eight failures, with the last one's reason", async () => {
  const store = await begin();
  server.misbehave({ kind: "refuse", status: 503, code: "SlowDown" }, undefined, 100);
  await expect(store.get("k")).rejects.toMatchObject({
    code: "unreachable",
    kind: "retry",
    message: expect.stringContaining("asks for fewer requests (503 SlowDown"),
    hint: expect.stringContaining("fewer agents"),
  });
  expect(stats.map(({ attempt }) => attempt)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

test("a refusal that repeating cannot help is not repeated", async () => {
  const store = await begin();
  server.misbehave({ kind: "refuse", status: 403, code: "AccessDenied" });
  await expect(store.get("k")).rejects.toMatchObject({ code: "forbidden" });
  server.misbehave({ kind: "refuse", status: 501, code: "NotImplemented" });
  await expect(store.put("k", utf8("x"))).rejects.toMatchObject({ code: "unsupported" });
  server.misbehave({ kind: "refuse", status: 507, code: "XMinioStorageFull" });
  await expect(store.put("k", utf8("x"))).rejects.toMatchObject({
    message: expect.stringContaining("no space"),
  });
  expect(stats).toHaveLength(3);
});

test("a signal ends the wait between attempts", async () => {
  const ending = new AbortController();
  const store = await begin({
    clock: {
      nowMs: () => systemClock.nowMs(),
      sleep(durationMs, signal) {
        if (durationMs < 20_000) ending.abort();
        return systemClock.sleep(durationMs, signal);
      },
    },
  });
  server.misbehave({ kind: "refuse", status: 503 }, undefined, 100);
  await expect(store.get("k", { signal: ending.signal })).rejects.toMatchObject({ code: "aborted" });
  expect(stats).toHaveLength(1);
});

test("a 404 that is not a missing key never looks like one", async () => {
  const store = await begin();
  server.misbehave({ kind: "say", answer: errorAnswer(404, "NoSuchBucket"), isDone: false });
  await expect(store.get("k")).rejects.toMatchObject({
    code: "not-found",
    hint: expect.stringContaining("S3_BUCKET"),
  });
  const page = { ...xmlAnswer(404, "<html><body>Not Found</body></html>") };
  server.misbehave({ kind: "say", answer: page, isDone: false }, undefined, 2);
  await expect(store.get("k")).rejects.toMatchObject({
    code: "unreachable",
    hint: expect.stringContaining("S3_ENDPOINT"),
  });
  await expect(store.revalidate("k", '"x"')).rejects.toMatchObject({ code: "unreachable" });
});

test("get() reads a range from a store that ignores ranges, and refuses another range than asked for", async () => {
  const store = await begin();
  await store.put("k", utf8("0123456789"));
  const whole = { status: 200, headers: { etag: '"e"' }, body: utf8("0123456789") };
  server.misbehave({ kind: "say", answer: whole, isDone: false }, undefined, 2);
  expect(text((await store.get("k", { range: { offset: 3, length: 4 } }))!.bytes)).toBe("3456");
  expect(text((await store.get("k", { range: { offset: 30, length: 4 } }))!.bytes)).toBe("");
  const other = {
    status: 206,
    headers: { etag: '"e"', "content-range": "bytes 0-3/10" },
    body: utf8("0123"),
  };
  server.misbehave({ kind: "say", answer: other, isDone: false });
  await expect(store.get("k", { range: { offset: 3, length: 4 } })).rejects.toMatchObject({
    code: "unsupported",
  });
});

test("get() with `fresh` asks caches on the way not to answer", async () => {
  const store = await begin();
  await store.put("k", utf8("x"));
  await store.get("k");
  await store.get("k", { fresh: true });
  expect(server.requests.slice(-2).map(({ headers }) => headers["cache-control"])).toEqual([
    undefined,
    "no-cache",
  ]);
});

test("an answer without an ETag is no store's", async () => {
  const store = await begin();
  await store.put("k", utf8("x"));
  server.misbehave({ kind: "strip", headers: ["etag"] });
  await expect(store.get("k")).rejects.toMatchObject({ code: "unsupported" });
  server.misbehave({ kind: "strip", headers: ["etag"] }, undefined, 2);
  await store.put("k", utf8("x"));
  expect(server.plansLeft).toBe(0);
});

test("expired credentials are renewed once, then refused", async () => {
  const forced: unknown[] = [];
  const store = await begin({
    credentials: {
      get: async ({ force } = {}) => {
        forced.push(force);
        if (force && server.expired.size === 1) {
          server.credentials = { accessKeyId: "KEY2", secretAccessKey: "s2", sessionToken: "t/+=" };
        }
        return server.credentials;
      },
    },
  });
  await store.put("k", utf8("x"));
  server.expired.add("KEYID");
  expect(text((await store.get("k"))?.bytes)).toBe("x");
  expect(forced).toEqual([undefined, undefined, true, undefined]);
  server.expired.add("KEY2");
  await expect(store.get("k")).rejects.toMatchObject({
    code: "unauthenticated",
    hint: expect.stringContaining("AWS_SESSION_TOKEN"),
  });
  expect(forced.filter((force) => force === true)).toHaveLength(2);
});

test.each([400, 301])("another region is learned once, from an answer %i", async (status) => {
  const store = await begin({ region: "us-east-1" });
  server.wrongRegion = status === 301 ? "redirect" : "refuse";
  await store.put("k", utf8("x"));
  await store.get("k");
  expect(stats.map((seen) => seen.status)).toEqual([status, 200, 200]);
});

test("a redirect to somewhere else is not followed, and named", async () => {
  const store = await begin();
  const headers = { location: "https://evil.example/bucket/k" };
  server.misbehave({ kind: "refuse", status: 307, code: "TemporaryRedirect", headers });
  await expect(store.get("k")).rejects.toMatchObject({
    code: "unreachable",
    message: expect.stringContaining("https://evil.example/bucket/k"),
    hint: expect.stringContaining("S3_ENDPOINT"),
  });
  expect(stats).toHaveLength(1);
});

describe("time", () => {
  test("nowMs() is the store's, with no request when an answer came recently", async () => {
    const store = await begin();
    server.skewMs = 3 * 3600_000;
    expect(Math.abs((await store.nowMs()) - (systemClock.nowMs() + server.skewMs))).toBeLessThan(60_000);
    expect(stats.map(({ operation }) => operation)).toEqual(["time"]);
    await store.nowMs();
    expect(stats).toHaveLength(1);
  });

  test("a local clock that is hours off is corrected by the first refusal, which is repeated", async () => {
    const store = await begin();
    server.skewMs = -5 * 3600_000;
    await store.put("k", utf8("x"));
    expect(stats.map(({ status }) => status)).toEqual([403, 200]);
    await store.get("k");
    expect(stats).toHaveLength(3);
    expect(Math.abs((await store.nowMs()) - (systemClock.nowMs() + server.skewMs))).toBeLessThan(60_000);
  });

  test("the offset is narrowed down by every answer, to the delay of the quickest", () => {
    let localMs = 1_000_000;
    const aheadMs = 7_300;
    const time = new StoreTime({ ...impatientClock, nowMs: () => localMs });
    const answer = (delayMs: number): void => {
      const askedAtMs = localMs;
      const dateMs = Math.floor((localMs + delayMs / 2 + aheadMs) / 1000) * 1000;
      localMs += delayMs;
      time.learn(dateMs, askedAtMs);
    };
    answer(900);
    expect(Math.abs(time.nowMs() - (localMs + aheadMs))).toBeLessThan(1_500);
    for (let i = 0; i < 200; i++) {
      answer(10);
      localMs += 137;
    }
    expect(Math.abs(time.nowMs() - (localMs + aheadMs))).toBeLessThan(50);
    localMs -= 3_600_000;
    expect(time.isFresh).toBe(false);
    // The store has not gone back with us.
    time.learn(1_000_000, localMs);
    expect(Math.abs(time.nowMs() - 1_000_500)).toBeLessThan(1_000);
  });

  test("nowMs() asks again after a minute, and after the local clock went back", async () => {
    let jumpMs = 0;
    const clock: Clock = { ...impatientClock, nowMs: () => systemClock.nowMs() + jumpMs };
    const store = await begin({ clock });
    await store.nowMs();
    jumpMs = 61_000;
    await store.nowMs();
    expect(stats).toHaveLength(2);
    jumpMs = -600_000;
    expect(Math.abs((await store.nowMs()) - systemClock.nowMs())).toBeLessThan(30_000);
    expect(stats).toHaveLength(3);
  });

  test("nowMs() fails without a Date, and does not believe a cache's", async () => {
    const store = await begin();
    server.misbehave({ kind: "strip", headers: ["date"] });
    await expect(store.nowMs()).rejects.toMatchObject({
      code: "unsupported",
      hint: expect.stringContaining("Date"),
    });
    const cached = {
      status: 200,
      headers: { age: "30", date: "Mon, 01 Jan 2001 00:00:00 GMT" },
      body: new Uint8Array(0),
    };
    server.misbehave({ kind: "say", answer: cached, isDone: false });
    await expect(store.nowMs()).rejects.toMatchObject({ code: "unsupported" });
    expect(await store.nowMs()).toBeGreaterThan(Date.UTC(2020));
  });
});

describe("lists and deletes", () => {
  test("list() leaves out keys that are not a forge's, and goes on behind them", async () => {
    const store = await begin({ prefix: "p/" });
    for (const key of ["p/a", "p/b c", "p/d/", "p/e//f", "p/ü", "p/z+1", "q"]) {
      server.objects.answer({
        method: "PUT",
        bucket: "bucket",
        key,
        query: new URLSearchParams(),
        headers: {},
        body: utf8("x"),
      });
    }
    expect((await listAll(store, "")).map(({ key }) => key)).toEqual(["a", "z+1"]);
    const found: string[] = [];
    for (let after: string | undefined; ; ) {
      const page = await store.list("", after === undefined ? { limit: 1 } : { after, limit: 1 });
      found.push(...page.objects.map(({ key }) => key));
      if (page.next === undefined) break;
      after = page.next;
    }
    expect(found).toEqual(["a", "z+1"]);
  });

  test("delete() removes 2,500 keys in three requests, whatever they are called", async () => {
    const store = await begin({ prefix: "p/" });
    const keys = Array.from({ length: 2_500 }, (_, i) => `k/${i}&'<"`);
    for (const key of [...keys.map((key) => `p/${key}`), "k/0"]) {
      server.objects.answer({
        method: "PUT",
        bucket: "bucket",
        key,
        query: new URLSearchParams(),
        headers: {},
        body: utf8("x"),
      });
    }
    await store.delete([...keys, "missing"]);
    expect([...server.objects.objects.keys()]).toEqual(["k/0"]);
    expect(stats.map(({ operation }) => operation)).toEqual(["delete", "delete", "delete"]);
  });

  test("delete() goes key by key on a store without batches, and remembers", async () => {
    const store = await begin();
    server.objects.lacksBatchDelete = true;
    for (const key of ["a", "b", "c", "d"]) await store.put(key, utf8(key));
    await store.delete(["a", "b"]);
    await store.delete(["c", "d"]);
    expect(server.objects.objects.size).toBe(0);
    expect(server.requests.filter(({ method }) => method === "POST")).toHaveLength(1);
  });

  test("delete() repeats the keys that a batch left, and names one that it may not delete", async () => {
    const store = await begin();
    for (const key of ["a", "b", "c"]) await store.put(key, utf8(key));
    const partly = (code: string): Misbehaviour => ({
      kind: "say",
      answer: xmlAnswer(
        200,
        `<DeleteResult><Error><Key>b</Key><Code>${code}</Code><Message>m</Message></Error></DeleteResult>`,
      ),
      isDone: false,
    });
    server.misbehave(partly("InternalError"), ({ method }) => method === "POST");
    slept.length = 0;
    await store.delete(["a", "b", "c"]);
    expect(slept.length, "a pause, since the store had no time for it").toBe(1);
    expect(text(server.requests.at(-1)!.body)).toMatch(/<Object><Key>b<\/Key><\/Object><\/Delete>$/);
    server.misbehave(partly("AccessDenied"), ({ method }) => method === "POST");
    await expect(store.delete(["a", "b"])).rejects.toMatchObject({
      code: "forbidden",
      message: expect.stringContaining("deleting b"),
    });
  });

  test.each(["head", ""])("delete() repeats no key that it was not asked for (%j)", async (key) => {
    const store = await begin();
    for (const each of ["a", "b", "head"]) await store.put(each, utf8(each));
    const error = `<Error><Key>${key}</Key><Code>InternalError</Code><Message>m</Message></Error>`;
    server.misbehave(
      { kind: "say", answer: xmlAnswer(200, `<DeleteResult>${error}</DeleteResult>`), isDone: false },
      ({ method }) => method === "POST",
    );
    await expect(store.delete(["a", "b"])).rejects.toMatchObject({ code: "unsupported" });
    expect(server.requests.filter(({ method }) => method === "POST")).toHaveLength(1);
    expect(server.objects.objects.has("head")).toBe(true);
  });

  test("delete() key by key ends with the first that fails, and deletes nothing afterwards", async () => {
    const store = await begin();
    const keys = Array.from({ length: 100 }, (_, i) => `k${String(i).padStart(2, "0")}`);
    for (const key of keys) await store.put(key, utf8("x"));
    server.misbehave(
      { kind: "refuse", status: 501, code: "NotImplemented" },
      ({ method }) => method === "POST",
    );
    server.misbehave({ kind: "refuse", status: 403, code: "AccessDenied" }, ({ key }) => key === "k00");
    await expect(store.delete(keys)).rejects.toMatchObject({ code: "forbidden" });
    for (let i = 0; i < 20; i++) await store.get("k00");
    expect(server.objects.objects.size).toBeGreaterThan(50);
  });

  test("list() goes on after a page that is empty and not the last, wherever the store says", async () => {
    const store = await begin({ prefix: "p/" });
    const empty = (next: string): Misbehaviour => ({
      kind: "say",
      answer: xmlAnswer(200, `<ListBucketResult><IsTruncated>true</IsTruncated>${next}</ListBucketResult>`),
      isDone: false,
    });
    const token = (value: string): string => `<NextContinuationToken>${value}</NextContinuationToken>`;
    const asked = () =>
      server.requests.map(({ query }) => [query.get("start-after"), query.get("continuation-token")]);
    await store.put("a", utf8("x"));
    server.requests.length = 0;
    server.misbehave(empty(token("one &amp; +")));
    server.misbehave(empty(token("two")));
    expect((await listAll(store, "")).map(({ key }) => key)).toEqual(["a"]);
    expect(asked()).toEqual([
      [null, null],
      [null, "one & +"],
      [null, "two"],
    ]);
    server.requests.length = 0;
    server.misbehave(empty(token("one")));
    expect(await store.list("", { after: "0" })).toMatchObject({ objects: [{ key: "a" }] });
    expect(asked()).toEqual([
      ["p/0", null],
      [null, "one"],
    ]);
    for (const pages of [[empty("")], [empty(token(""))], [empty(token("one")), empty(token("one"))]]) {
      for (const page of pages) server.misbehave(page);
      await expect(store.list("")).rejects.toMatchObject({ code: "unsupported" });
    }
    expect(server.plansLeft).toBe(0);
  });

  test("list() passes over what is not the store's until it has something, or the end is there", async () => {
    const store = await begin({ prefix: "p/" });
    await store.put("a/own", utf8("x"));
    const { objects } = server.objects;
    for (const key of ["p/", "p/a/", "p/a/my notes", "p/a/z z", "p/a/\u00fc"])
      objects.set(key, objects.get("p/a/own")!);
    const first = { objects: [{ key: "a/own", size: 1 }], next: "a/own" };
    expect(await store.list("a/", { limit: 1 })).toEqual(first);
    expect(await store.list("a/", { limit: 1, after: "a/own" })).toEqual({ objects: [] });
  });

  test("list() refuses a store that has no order, or that begins again", async () => {
    const store = await begin();
    const page = (...keys: string[]): Misbehaviour => ({
      kind: "say",
      answer: xmlAnswer(
        200,
        `<ListBucketResult><IsTruncated>true</IsTruncated>${keys.map((key) => `<Contents><Key>${key}</Key><Size>1</Size></Contents>`).join("")}</ListBucketResult>`,
      ),
      isDone: false,
    });
    server.misbehave(page("b", "a"));
    await expect(store.list("")).rejects.toMatchObject({ code: "unsupported" });
    server.misbehave(page("a", "b"));
    await expect(store.list("", { after: "b" })).rejects.toMatchObject({ code: "unsupported" });
    server.misbehave(page("a", "b"));
    expect((await store.list("")).next).toBe("b");
  });

  test("a list that is no list, and hostile XML, are refused", async () => {
    const store = await begin();
    for (const xml of [
      "<html></html>",
      "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
      '<!DOCTYPE x [<!ENTITY a "aaaaaaaa">]><ListBucketResult>&a;</ListBucketResult>',
      `<ListBucketResult>${"<a>".repeat(100_000)}`,
      "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%zz</Key><Size>1</Size></Contents></ListBucketResult>",
    ]) {
      server.misbehave({ kind: "say", answer: xmlAnswer(200, xml), isDone: false }, undefined, 8);
      await expect(store.list("")).rejects.toMatchObject({ code: "unreachable" });
    }
  });
});

describe("large objects", () => {
  const PART = 1_000;
  const content = crypto.getRandomValues(new Uint8Array(7 * PART + 1));
  const object = { key: "large", name: "large", bytes: content, headers: {} };
  const isPart = (part: number) => (request: { query: URLSearchParams }) =>
    request.query.get("partNumber") === String(part);
  const isCompletion = ({ method, query }: { method: string; query: URLSearchParams }) =>
    method === "POST" && query.has("uploadId");

  /** Uploads in small parts, as the store does in large ones. */
  async function upload(change: Partial<S3Options> = {}): Promise<(signal?: AbortSignal) => Promise<void>> {
    await begin();
    server.objects.partBytesMin = PART;
    const client = new S3Client(server.options({ clock: impatientClock, ...change }));
    open.push(client);
    return (signal) => putParts(client, object, signal === undefined ? {} : { signal }, PART);
  }

  test("put() uploads what is large in parts of 16 MiB, and get() reads a range across them", async () => {
    const store = await begin({ transport: "undici" });
    const large = new Uint8Array((64 << 20) + 12_345);
    for (let i = 0; i < large.length; i += 4093) large[i] = i;
    await store.put("large", large);
    expect(Buffer.compare(server.objects.objects.get("large")!.bytes, large)).toBe(0);
    expect(stats.filter(({ operation }) => operation === "multipart-part")).toHaveLength(5);
    const offset = (16 << 20) - 50_000;
    const found = await store.get("large", { range: { offset, length: 100_000 } });
    expect(Buffer.compare(found!.bytes, large.subarray(offset, offset + 100_000))).toBe(0);
  });

  test.each(["fetch", "undici"] as const)(
    "an upload over %s survives failures of each step",
    async (transport) => {
      const put = await upload({ transport });
      server.misbehave({ kind: "refuse", status: 503 }, ({ query }) => query.has("uploads"));
      server.misbehave({ kind: "drop" }, isPart(2));
      server.misbehave({ kind: "lose-answer" }, isPart(3));
      server.misbehave(
        { kind: "say", answer: errorAnswer(200, "InternalError"), isDone: false },
        isCompletion,
      );
      server.misbehave({ kind: "lose-answer" }, isCompletion);
      await put();
      expect(Buffer.compare(server.objects.objects.get("large")!.bytes, content)).toBe(0);
      expect(server.objects.uploads.size).toBe(0);
      expect(server.plansLeft).toBe(0);
    },
  );

  test("an upload that fails is aborted, and leaves nothing", async () => {
    const put = await upload();
    server.misbehave({ kind: "refuse", status: 403, code: "AccessDenied" }, isPart(2));
    await expect(put()).rejects.toMatchObject({ code: "forbidden" });
    server.misbehave({ kind: "refuse", status: 403, code: "AccessDenied" }, isCompletion);
    await expect(put()).rejects.toMatchObject({ code: "forbidden" });
    expect(server.objects.uploads.size).toBe(0);
    expect(server.objects.objects.size).toBe(0);
  });

  test("an upload that is interrupted is aborted, and leaves nothing", async () => {
    const put = await upload();
    const ending = new AbortController();
    server.misbehave({ kind: "delay", ms: Number.POSITIVE_INFINITY, isDone: false }, isPart(3));
    const outcome = put(ending.signal).catch((error: unknown) => error);
    await expect.poll(() => server.plansLeft, { timeout: 20_000 }).toBe(0);
    ending.abort();
    expect(await outcome).toMatchObject({ code: "aborted" });
    expect(server.objects.uploads.size).toBe(0);
    expect(server.objects.objects.size).toBe(0);
  });

  test("an upload that the store has lost is begun again, once", async () => {
    const put = await upload();
    server.misbehave({ kind: "refuse", status: 404, code: "NoSuchUpload" }, isCompletion);
    await put();
    expect(Buffer.compare(server.objects.objects.get("large")!.bytes, content)).toBe(0);
    server.objects.objects.clear();
    server.misbehave({ kind: "refuse", status: 404, code: "NoSuchUpload" }, isCompletion, 2);
    await expect(put()).rejects.toMatchObject({ code: "unreachable" });
  });
});

test("a write names how it is to be encrypted", async () => {
  const store = await begin({ encryption: { kind: "aws:kms", keyId: "key/1" } });
  await store.put("k", utf8("x"));
  await store.commit([], { key: "head", expected: null, bytes: utf8("x") });
  for (const { headers } of server.requests) {
    expect(headers["x-amz-server-side-encryption"]).toBe("aws:kms");
    expect(headers["x-amz-server-side-encryption-aws-kms-key-id"]).toBe("key/1");
  }
  await store.get("k");
  expect(server.requests.at(-1)!.headers["x-amz-server-side-encryption"]).toBeUndefined();
});

test("an object says for how long it may be cached: for ever when it was put, not at all when it was swapped", async () => {
  const store = await begin();
  await store.put("k", utf8("x"));
  await store.commit([], { key: "head", expected: null, bytes: utf8("x") });
  expect(server.requests.map(({ headers }) => headers["cache-control"])).toEqual([
    "max-age=31536000, immutable",
    "no-cache",
  ]);
});

test("no request has a checksum or a trailer that nobody asked for", async () => {
  const store = await begin();
  await store.put("k", utf8("x"));
  const names = Object.keys(server.requests[0]!.headers);
  expect(names.filter((name) => /checksum|crc|trailer|sdk/.test(name))).toEqual([]);
});
