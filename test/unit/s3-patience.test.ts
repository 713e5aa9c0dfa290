/** How long a call waits for a store that does not answer, or not usefully: `patienceMs`, and the caller's `untilMs`. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { systemClock } from "../../src/core/base/system.ts";
import { headKey } from "../../src/core/objects/keys.ts";
import { openS3Store, type S3Store } from "../../src/core/store/s3/open.ts";
import type { S3Options } from "../../src/core/store/s3/options.ts";
import { EMPTY_BASE, landRequest, openFixture, PROJECT } from "../support/project-fixture.ts";
import { type Misbehaviour, S3Server } from "../support/s3-server.ts";

const PATIENCE_MS = 250;
/** Far below what eight attempts of 30 s, or their pauses, would take. */
const SOON_MS = 3_000;
const SILENT: Misbehaviour = { kind: "delay", ms: Number.POSITIVE_INFINITY, isDone: false };
const DONE_AND_SILENT: Misbehaviour = { ...SILENT, isDone: true };

const open: AsyncDisposable[] = [];
// The tests wait most of the time, so they wait together.
afterAll(async () => {
  for (const thing of open.splice(0).reverse()) await thing[Symbol.asyncDispose]();
});

async function begin(change: Partial<S3Options> = {}): Promise<{ server: S3Server; store: S3Store }> {
  const server = await S3Server.start();
  const store = await openS3Store(server.options({ patienceMs: PATIENCE_MS, ...change }));
  open.push(server, store);
  return { server, store };
}

async function elapsed(run: () => Promise<unknown>): Promise<number> {
  const began = systemClock.nowMs();
  await run();
  return systemClock.nowMs() - began;
}

describe.concurrent.each(["fetch", "undici"] as const)("over %s", (transport) => {
  test.each([
    ["accepts and never answers", SILENT],
    ["only ever asks to come again", { kind: "refuse", status: 503, code: "SlowDown" } as const],
  ])("no call waits for longer than it may for a store that %s", async (_, what) => {
    const { server, store } = await begin({ transport });
    server.misbehave(what, undefined, 1_000);
    const head = { key: "head", expected: null, bytes: utf8("new") };
    const calls = [
      store.get("a"),
      store.revalidate("a", '"x"'),
      store.put("a", utf8("x")),
      store.list(""),
      store.delete(["a", "b"]),
      store.nowMs(),
      store.commit([{ key: "p", bytes: utf8("x") }], head),
    ];
    const took = await elapsed(async () => {
      for (const result of await Promise.allSettled(calls)) {
        expect(result).toMatchObject({ status: "rejected", reason: { code: "unreachable", kind: "retry" } });
      }
    });
    expect(took).toBeLessThan(SOON_MS);
    expect(server.objects.objects.size).toBe(0);
  });

  test("a swap that was sent is unknown when nobody waits any longer, whether it was applied or not", async () => {
    const { server, store } = await begin({ transport, patienceMs: 60_000 });
    for (const what of [SILENT, DONE_AND_SILENT]) server.misbehave(what);
    const swap = (key: string) =>
      store.commit([], { key, expected: null, bytes: utf8("new") }, { untilMs: systemClock.nowMs() });
    const took = await elapsed(async () => {
      const outcome = {
        kind: "unknown",
        cause: { code: "unreachable", hint: expect.stringContaining("--timeout") },
      };
      expect(await Promise.all([swap("one"), swap("two")])).toMatchObject([outcome, outcome]);
    });
    expect(took).toBeLessThan(SOON_MS);
    expect(server.objects.objects.size).toBe(1);
  });

  test("a read that is made when the time is over still takes an answer that comes at once", async () => {
    const { store } = await begin({ transport });
    await store.put("a", utf8("x"));
    expect(await store.get("a", { untilMs: 0 })).toMatchObject({ bytes: utf8("x") });
  });

  test("a swap is not sent when the source of the credentials does not answer", async () => {
    const { store } = await begin({ transport, credentials: { get: () => new Promise(() => undefined) } });
    const took = await elapsed(async () => {
      const swap = store.commit([], { key: "head", expected: null, bytes: utf8("new") });
      await expect(swap).rejects.toMatchObject({ code: "unreachable" });
    });
    expect(took).toBeLessThan(SOON_MS);
  });

  test("a large object that breaks off is asked for again: what came was worth the time", async () => {
    const bytes = new Uint8Array(2 << 20).fill(7);
    let asked = 0;
    const server = createServer((_, response) => {
      response.writeHead(200, { etag: '"x"', ...(++asked === 1 ? {} : { "content-length": bytes.length }) });
      if (asked > 1) return response.end(bytes);
      response.write(bytes.subarray(0, 1 << 20));
      return setTimeout(() => response.socket?.destroy(), PATIENCE_MS + 50);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    open.push({ [Symbol.asyncDispose]: async () => void server.close() });
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { store } = await begin({ transport, endpoint, timeoutMs: 1_000 });
    expect((await store.get("a"))?.bytes.length).toBe(bytes.length);
    expect(asked).toBe(2);
  });
});

test.concurrent("a landing that was applied by a store that then falls silent is unknown in time, and settled by its id", async () => {
  const { server, store } = await begin({ patienceMs: 400 });
  const project = openFixture(store, systemClock, { landTimeoutMs: 400 });
  await project.create();
  await project.snapshot();
  let isSilent = false;
  server.misbehave(
    DONE_AND_SILENT,
    ({ method, key }) => {
      isSilent ||= method === "PUT" && key === headKey(PROJECT);
      return isSilent;
    },
    1_000,
  );
  const request = landRequest(EMPTY_BASE, { a: "1" });
  const took = await elapsed(async () => {
    const expected = { code: "outcome-unknown", data: { landingId: request.landingId } };
    await expect(project.land(request)).rejects.toMatchObject(expected);
  });
  expect(took).toBeLessThan(SOON_MS);
  const later = await openS3Store(server.options());
  open.push(later);
  const after = openFixture(later, systemClock);
  server.behave();
  expect(await after.land(request)).toMatchObject({ kind: "landed", position: 1 });
  expect((await after.snapshot()).head.position).toBe(1);
});
