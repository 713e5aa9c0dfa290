/** What only a store on S3 does, on servers that others wrote. */
import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import type { Clock } from "../../src/core/base/clock.ts";
import { systemClock } from "../../src/core/base/system.ts";
import { openS3Store, type S3Store } from "../../src/core/store/s3/open.ts";
import type { S3RequestStats } from "../../src/core/store/s3/options.ts";
import { listAll } from "../conformance/object-store.ts";
import { freshPrefix, openRealStore, realOptions, realServers } from "./servers.ts";

const MANY = 1100;
const AT_ONCE = 64;
/** Above it an object goes in parts. */
const LARGE_BYTES = (64 << 20) + 12_345;
const HOUR_MS = 3_600_000;

async function putMany(store: S3Store, keys: readonly string[]): Promise<void> {
  for (let i = 0; i < keys.length; i += AT_ONCE) {
    await Promise.all(keys.slice(i, i + AT_ONCE).map((key) => store.put(key, utf8(key))));
  }
}

for (const server of realServers()) {
  describe.each(["fetch", "undici"] as const)(`a bucket on ${server.kind}, over %s`, (transport) => {
    const open = (prefix = freshPrefix()): Promise<S3Store> => openRealStore(server, prefix, transport);

    test("a large object goes in parts, and is read whole and in ranges", async () => {
      const requests: S3RequestStats[] = [];
      await using store = await openS3Store({
        ...realOptions(server, freshPrefix(), transport),
        onRequest: (stats) => requests.push(stats),
      });
      const bytes = Buffer.alloc(LARGE_BYTES, "parts of an object ");
      for (let i = 0; i < bytes.length; i += 4096) bytes.writeUInt32LE(i, i);
      await store.put("large", bytes);
      expect(requests.filter(({ operation }) => operation === "multipart-part")).toHaveLength(5);
      const found = (await store.get("large"))!;
      expect(Buffer.compare(found.bytes, bytes)).toBe(0);
      const [offset, length] = [(16 << 20) - 100, 200];
      const part = (await store.get("large", { range: { offset, length } }))!;
      expect(Buffer.compare(part.bytes, bytes.subarray(offset, offset + length))).toBe(0);
      expect(await store.revalidate("large", found.etag)).toBe("unchanged");
      expect(await listAll(store, "")).toEqual([{ key: "large", size: LARGE_BYTES }]);
      await store.delete(["large"]);
    });

    test("more keys than a page or a deletion holds are listed and deleted", async () => {
      await using store = await open();
      const keys = Array.from({ length: MANY }, (_, i) => `many/${String(i).padStart(5, "0")}`);
      await putMany(store, keys);
      const first = await store.list("many/");
      expect(first.objects).toHaveLength(1000);
      expect((await listAll(store, "many/")).map(({ key }) => key)).toEqual(keys);
      await store.delete(keys);
      expect(await listAll(store, "")).toEqual([]);
    });

    test("whoever has a presigned URL can use it for what it is for, and for nothing else", async () => {
      const prefix = freshPrefix();
      await using store = await open(prefix);
      const body = utf8("put by somebody without credentials");
      const put = await store.presignPut("staging/a", 60, { size: body.length });
      const send = async (url: string, init: RequestInit): Promise<number> => {
        const response = await fetch(url, init);
        await response.arrayBuffer();
        return response.status;
      };
      const upload = { method: "PUT", headers: put.headers, body };
      expect(await send(put.url, { ...upload, body: utf8("longer than was said, and so refused") })).toBe(
        403,
      );
      expect(await send(put.url.replace("staging/a", "staging/b"), upload)).toBe(403);
      expect(await send(put.url, { method: "GET" })).toBe(403);
      expect(await store.get("staging/a")).toBeUndefined();
      expect(await send(put.url, upload)).toBe(200);
      expect((await store.get("staging/a"))!.bytes).toEqual(body);

      const get = await store.presignGet("staging/a", 60);
      const range = await fetch(get.url, { headers: { ...get.headers, range: "bytes=4-8" } });
      expect([range.status, await range.text()]).toEqual([206, "by so"]);
      expect(await send(get.url, { method: "DELETE" })).toBe(403);
      const short = await store.presignGet("staging/a", 1);
      await new Promise((resolve) => setTimeout(resolve, 2100));
      expect(await send(short.url, { headers: short.headers })).toBe(403);
    });

    test("a swap that was checked too long ago is refused by the store", async () => {
      await using store = await open();
      const swap = { key: "head", expected: null, bytes: utf8("one") };
      const nowMs = await store.nowMs();
      const late = await store.commit([], { ...swap, checkedAtMs: nowMs - 20 * 60_000 });
      expect(late.kind).not.toBe("committed");
      expect(await store.get("head")).toBeUndefined();
      const inTime = await store.commit([], { ...swap, checkedAtMs: nowMs - 10 * 60_000 });
      expect(inTime.kind).toBe("committed");
    });

    test("a machine whose clock is an hour off works by the store's", async () => {
      for (const offMs of [-HOUR_MS, HOUR_MS]) {
        const clock: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + offMs };
        await using store = await openS3Store({ ...realOptions(server, freshPrefix(), transport), clock });
        const outcome = await store.commit([{ key: "p", bytes: utf8("p") }], {
          key: "head",
          expected: null,
          bytes: utf8("one"),
        });
        expect(outcome.kind).toBe("committed");
        expect(Math.abs((await store.nowMs()) - systemClock.nowMs())).toBeLessThan(10_000);
      }
    });

    test("what is wrong with the settings is said", async () => {
      const options = realOptions(server, freshPrefix(), transport);
      await using elsewhere = await openS3Store({ ...options, bucket: "no-such-bucket" });
      await expect(elsewhere.get("k")).rejects.toMatchObject({
        code: "not-found",
        message: expect.stringContaining("no-such-bucket"),
        hint: expect.stringContaining("S3_BUCKET"),
      });
      const wrong = { accessKeyId: server.accessKeyId, secretAccessKey: "wrong" };
      await using stranger = await openS3Store({ ...options, credentials: { get: async () => wrong } });
      await expect(stranger.put("k", utf8("x"))).rejects.toMatchObject({
        code: "unauthenticated",
        hint: expect.stringContaining("AWS_SECRET_ACCESS_KEY"),
      });
      const nobody = { accessKeyId: "nobody", secretAccessKey: "wrong" };
      await using unknown = await openS3Store({ ...options, credentials: { get: async () => nobody } });
      await expect(unknown.put("k", utf8("x"))).rejects.toMatchObject({
        code: "unauthenticated",
        hint: expect.stringContaining("AWS_ACCESS_KEY_ID"),
      });
    });
  });
}
