/**
 * What every object store must do: each sentence of src/core/store/object-store.ts is a test. An adapter's own
 * test file calls `describeObjectStore` and adds what only it can do.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import type { CommitOutcome, ETag, ListedObject, ObjectStore } from "../../src/core/store/object-store.ts";

export interface StoreFixture extends AsyncDisposable {
  readonly store: ObjectStore;
  /** A second handle on the same data, as another process would have. */
  another(): Promise<ObjectStore>;
  /** A swap that is not applied leaves the puts of its commit out. */
  readonly isAtomic: boolean;
  /**
   * The server keeps an object as a file named by its key: a component has at most 255 bytes, and what is below
   * another object is refused, or left out of listings. No key of the forge needs more.
   */
  readonly keysAreFiles?: boolean;
}

const RACERS = 32;

export function describeObjectStore(name: string, makeFixture: () => Promise<StoreFixture>): void {
  describe(`${name} is an object store:`, () => {
    let fixture: StoreFixture;
    let store: ObjectStore;

    beforeEach(async () => {
      fixture = await makeFixture();
      store = fixture.store;
    });
    afterEach(() => fixture[Symbol.asyncDispose]());

    async function commit(key: string, expected: ETag | null, text: string): Promise<CommitOutcome> {
      return store.commit([], { key, expected, bytes: utf8(text) });
    }
    async function create(key: string, text: string): Promise<ETag> {
      return etagOf(await commit(key, null, text));
    }
    async function text(key: string, from: ObjectStore = store): Promise<string | undefined> {
      const found = await from.get(key);
      return found === undefined ? undefined : new TextDecoder().decode(found.bytes);
    }

    test("get() of a missing key is undefined", async () => {
      expect(await store.get("no/such/key")).toBeUndefined();
      expect(await store.get("no/such/key", { range: { offset: 0, length: 1 } })).toBeUndefined();
    });

    test("put() stores bytes of any length and value under any valid key", async () => {
      const sizes = [0, 1, 255, 4096, 70_000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000];
      for (const size of sizes) await store.put(`sizes/${size}`, pattern(size, size));
      for (const size of sizes) {
        const found = await store.get(`sizes/${size}`);
        expect(found?.bytes.length).toBe(size);
        expect(Buffer.compare(found!.bytes, pattern(size, size))).toBe(0);
      }
      const longest = "x".repeat(fixture.keysAreFiles ? 255 : 1024);
      const all = ["a", "a.b", "...", "a/..b", "~!$&'()*+,;=:@", longest, "A/b_c-d/%2F"];
      const keys = storable(all, fixture);
      for (const key of keys) await store.put(key, utf8(key));
      for (const key of keys) expect(await text(key)).toBe(key);
    });

    test("get() returns plain bytes that the caller may change", async () => {
      await store.put("k", utf8("hello"));
      const first = (await store.get("k"))!.bytes;
      expect(Object.getPrototypeOf(first)).toBe(Uint8Array.prototype);
      first.fill(0);
      expect(await text("k")).toBe("hello");
    });

    test("put() and commit() keep nothing of the caller's buffers", async () => {
      const bytes = utf8("before");
      await store.put("k", bytes);
      const outcome = await store.commit([{ key: "p", bytes }], { key: "s", expected: null, bytes });
      expect(outcome.kind).toBe("committed");
      bytes.fill(0);
      for (const key of ["k", "p", "s"]) expect(await text(key)).toBe("before");
    });

    test("put() of the same bytes again is harmless", async () => {
      for (const size of [10, 2_000_000]) {
        const bytes = pattern(size, 1);
        await store.put(`again/${size}`, bytes);
        await store.put(`again/${size}`, bytes);
        expect(Buffer.compare((await store.get(`again/${size}`))!.bytes, bytes)).toBe(0);
      }
      expect(await listAll(store, "again/")).toHaveLength(2);
    });

    test("put() is seen by another handle as soon as it returns", async () => {
      await using other = await fixture.another();
      for (const size of [10, 2_000_000]) {
        await store.put(`seen/${size}`, pattern(size, 2));
        expect((await other.get(`seen/${size}`))?.bytes.length).toBe(size);
      }
      await store.delete(["seen/10"]);
      expect(await other.get("seen/10")).toBeUndefined();
    });

    test("get() cuts a range that passes the end, and one that starts beyond it is empty", async () => {
      for (const size of [1000, 1_500_000]) {
        const key = `range/${size}`;
        const bytes = pattern(size, 3);
        await store.put(key, bytes);
        const ranges: [number, number][] = [
          [0, 0],
          [0, 1],
          [0, size],
          [0, size + 1],
          [1, 10],
          [size - 1, 1],
          [size - 1, 100],
          [size, 1],
          [size, 0],
          [size + 1000, 5],
          [size >> 1, Number.MAX_SAFE_INTEGER - size],
        ];
        for (const [offset, length] of ranges) {
          const found = await store.get(key, { range: { offset, length } });
          const wanted = bytes.slice(offset, offset + length);
          expect(found!.bytes.length, `${offset}+${length} of ${size}`).toBe(wanted.length);
          expect(Buffer.compare(found!.bytes, wanted)).toBe(0);
          expect(found!.etag).toBe((await store.get(key))!.etag);
        }
      }
    });

    test("a bad range is refused", async () => {
      await store.put("k", utf8("x"));
      for (const range of [
        { offset: -1, length: 1 },
        { offset: 0, length: -1 },
        { offset: 0.5, length: 1 },
        { offset: 0, length: Number.NaN },
      ]) {
        await expect(store.get("k", { range })).rejects.toMatchObject({ code: "internal" });
      }
    });

    test("keys with empty, dot or non-ASCII parts are refused by every operation", async () => {
      const bad = [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/./b",
        "../a",
        "a/..",
        "ä",
        "a b",
        "a\0b",
        "a\nb",
        "x".repeat(1025),
      ];
      for (const key of bad) {
        const refused = { code: "internal" };
        await expect(store.get(key), JSON.stringify(key)).rejects.toMatchObject(refused);
        await expect(store.revalidate(key, "1")).rejects.toMatchObject(refused);
        await expect(store.put(key, utf8("x"))).rejects.toMatchObject(refused);
        await expect(store.delete([key])).rejects.toMatchObject(refused);
        await expect(commit(key, null, "x")).rejects.toMatchObject(refused);
        const put = { key, bytes: utf8("x") };
        await expect(
          store.commit([put], { key: "ok", expected: null, bytes: utf8("x") }),
        ).rejects.toMatchObject(refused);
      }
      expect(await listAll(store, "")).toEqual([]);
    });

    test("commit() that names a key twice is refused", async () => {
      const put = { key: "a", bytes: utf8("x") };
      const swap = { key: "s", expected: null, bytes: utf8("x") };
      await expect(store.commit([put, put], swap)).rejects.toMatchObject({ code: "internal" });
      await expect(store.commit([put], { ...swap, key: "a" })).rejects.toMatchObject({ code: "internal" });
      expect(await listAll(store, "")).toEqual([]);
    });

    test("commit() creates a key only when it is absent", async () => {
      expect((await commit("head", null, "one")).kind).toBe("committed");
      expect(await commit("head", null, "two")).toEqual({ kind: "lost" });
      expect(await text("head")).toBe("one");
    });

    test("commit() swaps only the version that is expected", async () => {
      const first = await create("head", "one");
      const second = etagOf(await commit("head", first, "two"));
      expect(second).not.toBe(first);
      expect(await commit("head", first, "stale")).toEqual({ kind: "lost" });
      expect(await text("head")).toBe("two");
      expect((await commit("head", second, "three")).kind).toBe("committed");
      expect(await text("head")).toBe("three");
    });

    test("commit() with an expected version of a missing key is `missing`, and creates nothing", async () => {
      const etag = await create("head", "one");
      await store.delete(["head"]);
      expect(await commit("head", etag, "two")).toEqual({ kind: "missing" });
      expect(await store.get("head")).toBeUndefined();
    });

    test("commit() takes an ETag as it is, byte for byte", async () => {
      const etag = await create("head", "one");
      for (const other of ["", `${etag} `, ` ${etag}`, `0${etag}`, `${etag}.0`, `"${etag}"`, `${etag}n`]) {
        expect(await commit("head", other, "two"), other).toEqual({ kind: "lost" });
        expect(await store.revalidate("head", other), other).toMatchObject({ etag });
      }
    });

    test("the ETag of a commit is the one that get() returns", async () => {
      const etag = await create("head", "one");
      expect((await store.get("head"))!.etag).toBe(etag);
      expect((await store.get("head", { range: { offset: 1, length: 1 } }))!.etag).toBe(etag);
    });

    test("revalidate() tells unchanged, changed and missing apart", async () => {
      expect(await store.revalidate("head", "1")).toBeUndefined();
      const first = await create("head", "one");
      expect(await store.revalidate("head", first)).toBe("unchanged");
      const second = etagOf(await commit("head", first, "two"));
      const found = await store.revalidate("head", first);
      expect(found).toMatchObject({ etag: second });
      expect(await store.revalidate("head", second)).toBe("unchanged");
      await store.delete(["head"]);
      expect(await store.revalidate("head", second)).toBeUndefined();
    });

    test("revalidate() works for objects of any size", async () => {
      await store.put("big", pattern(2_000_000, 4));
      const { etag } = (await store.get("big"))!;
      expect(await store.revalidate("big", etag)).toBe("unchanged");
      const found = await store.revalidate("big", `${etag}x`);
      expect(found).not.toBe("unchanged");
      expect((found as { bytes: Uint8Array }).bytes.length).toBe(2_000_000);
    });

    test("commit() makes puts and swap visible together", async () => {
      await using other = await fixture.another();
      const puts = [
        { key: "packs/1", bytes: pattern(100, 5) },
        { key: "packs/2", bytes: pattern(1_500_000, 6) },
      ];
      const outcome = await store.commit(puts, { key: "head", expected: null, bytes: utf8("one") });
      expect(outcome.kind).toBe("committed");
      expect(await text("head", other)).toBe("one");
      for (const { key, bytes } of puts) {
        expect(Buffer.compare((await other.get(key))!.bytes, bytes)).toBe(0);
      }
    });

    test("a commit that is lost or missing changes nothing where the store is atomic", async () => {
      await create("head", "one");
      const puts = [
        { key: "packs/small", bytes: pattern(100, 5) },
        { key: "packs/large", bytes: pattern(1_500_000, 6) },
      ];
      const lost = await store.commit(puts, { key: "head", expected: "999", bytes: utf8("two") });
      expect(lost).toEqual({ kind: "lost" });
      const missing = await store.commit(puts, { key: "gone", expected: "999", bytes: utf8("two") });
      expect(missing).toEqual({ kind: "missing" });
      const keys = (await listAll(store, "")).map(({ key }) => key);
      expect(keys).toEqual(fixture.isAtomic ? ["head"] : ["head", "packs/large", "packs/small"]);
      expect(await text("head")).toBe("one");
    });

    test("a swap can carry large content, and replace it", async () => {
      const large = pattern(1_200_000, 7);
      const first = etagOf(await store.commit([], { key: "s", expected: null, bytes: large }));
      expect(Buffer.compare((await store.get("s"))!.bytes, large)).toBe(0);
      const second = etagOf(await commit("s", first, "small"));
      expect(await text("s")).toBe("small");
      const again = await store.commit([], { key: "s", expected: second, bytes: large });
      expect(again.kind).toBe("committed");
      expect(Buffer.compare((await store.get("s"))!.bytes, large)).toBe(0);
    });

    test("of many creators of one key exactly one wins", async () => {
      const handles = await Promise.all(Array.from({ length: 4 }, () => fixture.another()));
      const outcomes = await Promise.all(
        Array.from({ length: RACERS }, (_, i) =>
          handles[i % 4]!.commit([], { key: "race", expected: null, bytes: utf8(`writer ${i}`) }),
        ),
      );
      const winners = outcomes.flatMap((outcome, i) => (outcome.kind === "committed" ? [i] : []));
      expect(winners).toHaveLength(1);
      expect(await text("race")).toBe(`writer ${winners[0]}`);
      for (const [i, outcome] of outcomes.entries()) {
        if (i !== winners[0]) expect(outcome).toEqual({ kind: "lost" });
      }
      for (const handle of handles) await handle[Symbol.asyncDispose]();
    });

    test("of many swaps of one version exactly one wins, and no increment is lost", async () => {
      const handles = await Promise.all(Array.from({ length: 4 }, () => fixture.another()));
      const etag = await create("race", "0");
      const outcomes = await Promise.all(
        Array.from({ length: RACERS }, (_, i) =>
          handles[i % 4]!.commit([], { key: "race", expected: etag, bytes: utf8(String(100 + i)) }),
        ),
      );
      expect(outcomes.filter(({ kind }) => kind === "committed")).toHaveLength(1);
      const won = await text("race");
      const increment = async (handle: ObjectStore): Promise<void> => {
        for (;;) {
          const { bytes, etag: expected } = (await handle.get("race"))!;
          const next = utf8(String(Number(new TextDecoder().decode(bytes)) + 1));
          if ((await handle.commit([], { key: "race", expected, bytes: next })).kind === "committed") return;
        }
      };
      await Promise.all(
        handles.map(async (handle) => {
          for (let i = 0; i < 10; i++) await increment(handle);
        }),
      );
      expect(await text("race")).toBe(String(Number(won) + 40));
      for (const handle of handles) await handle[Symbol.asyncDispose]();
    });

    test("list() returns keys with a prefix in byte order, with sizes", async () => {
      const all = ["b", "a/b", "a/B", "a-b", "a/b/c", "a", "a/bc", "ab", "a~", "A"];
      const keys = storable(all, fixture);
      for (const [i, key] of keys.entries()) await store.put(key, pattern(i, 0));
      const expected = [...keys].sort().map((key) => ({ key, size: keys.indexOf(key) }));
      expect(await listAll(store, "")).toEqual(expected);
      for (const prefix of ["a", "a/", "a/b", "a/b/", "b", "zz", "A", "a~", "~"]) {
        const found = await listAll(store, prefix);
        expect(found, prefix).toEqual(expected.filter(({ key }) => key.startsWith(prefix)));
      }
    });

    test("list() gives every key once over pages of any size", async () => {
      const keys = Array.from({ length: 25 }, (_, i) => `p/${String(i).padStart(3, "0")}`);
      for (const key of [...keys, "o/x", "q/x"]) await store.put(key, utf8("x"));
      for (const limit of [1, 2, 5, 24, 25, 26, 1000]) {
        const pages: number[] = [];
        const found: string[] = [];
        for (let after: string | undefined; ; ) {
          const page = await store.list("p/", after === undefined ? { limit } : { after, limit });
          pages.push(page.objects.length);
          found.push(...page.objects.map(({ key }) => key));
          if (page.next === undefined) break;
          expect(page.objects).toHaveLength(limit);
          after = page.next;
        }
        expect(found).toEqual(keys);
        expect(pages).toHaveLength(Math.ceil(keys.length / limit));
      }
    });

    test("list() starts after a key that need not exist", async () => {
      for (const key of ["p/a", "p/c", "p/e"]) await store.put(key, utf8("x"));
      const keysAfter = async (key: string): Promise<string[]> =>
        (await store.list("p/", { after: key })).objects.map((found) => found.key);
      expect(await keysAfter("p/a")).toEqual(["p/c", "p/e"]);
      expect(await keysAfter("p/b")).toEqual(["p/c", "p/e"]);
      expect(await keysAfter("p/e")).toEqual([]);
      expect(await keysAfter("a")).toEqual(["p/a", "p/c", "p/e"]);
      expect(await keysAfter("z")).toEqual([]);
    });

    test("list() refuses limits outside 1 to 1000", async () => {
      for (const limit of [0, -1, 1001, 1.5, Number.NaN]) {
        await expect(store.list("", { limit })).rejects.toMatchObject({ code: "internal" });
      }
    });

    test("delete() removes keys; missing ones are not an error", async () => {
      await store.put("a", utf8("x"));
      await store.put("b", pattern(1_500_000, 0));
      await store.put("c", utf8("x"));
      await store.delete(["a", "b", "missing"]);
      await store.delete(["a"]);
      await store.delete([]);
      expect((await listAll(store, "")).map(({ key }) => key)).toEqual(["c"]);
      expect(await store.get("b")).toBeUndefined();
    });

    test("a signal that has fired stops an operation before anything is sent", async () => {
      await store.put("k", utf8("x"));
      const signal = AbortSignal.abort();
      const aborted = { code: "aborted" };
      await expect(store.get("k", { signal })).rejects.toMatchObject(aborted);
      await expect(store.revalidate("k", "1", { signal })).rejects.toMatchObject(aborted);
      await expect(store.put("new", utf8("x"), { signal })).rejects.toMatchObject(aborted);
      await expect(store.list("", { signal })).rejects.toMatchObject(aborted);
      await expect(store.delete(["k"], { signal })).rejects.toMatchObject(aborted);
      await expect(
        store.commit([], { key: "new", expected: null, bytes: utf8("x") }, { signal }),
      ).rejects.toMatchObject(aborted);
      expect((await listAll(store, "")).map(({ key }) => key)).toEqual(["k"]);
    });

    test("nowMs() is a plausible time", async () => {
      const nowMs = await store.nowMs();
      expect(Number.isFinite(nowMs)).toBe(true);
      expect(nowMs).toBeGreaterThan(Date.UTC(2000));
    });
  });
}

/** Without those that are another's directory, where they cannot be stored. */
function storable(keys: readonly string[], { keysAreFiles }: StoreFixture): string[] {
  const isDirectory = (key: string): boolean => keys.some((other) => other.startsWith(`${key}/`));
  return keys.filter((key) => !keysAreFiles || !isDirectory(key));
}

/** Only for stores whose ETags name versions, not content. */
export function describeVersionEtags(name: string, makeFixture: () => Promise<StoreFixture>): void {
  describe(`${name} names versions, not content:`, () => {
    test("equal content has different ETags", async () => {
      await using fixture = await makeFixture();
      const { store } = fixture;
      const swap = (expected: ETag | null) =>
        store.commit([], { key: "head", expected, bytes: utf8("same") });
      const first = etagOf(await swap(null));
      const second = etagOf(await swap(first));
      expect(second).not.toBe(first);
      expect(await swap(first)).toEqual({ kind: "lost" });
    });

    test("a key that was deleted and created again does not get an old ETag back", async () => {
      await using fixture = await makeFixture();
      const { store } = fixture;
      const seen = new Set<ETag>();
      for (let i = 0; i < 20; i++) {
        seen.add(etagOf(await store.commit([], { key: "head", expected: null, bytes: utf8("same") })));
        await store.delete(["head"]);
      }
      expect(seen.size).toBe(20);
    });
  });
}

export async function listAll(store: ObjectStore, prefix: string): Promise<ListedObject[]> {
  const found: ListedObject[] = [];
  for (let after: string | undefined; ; ) {
    const page = await store.list(prefix, after === undefined ? {} : { after });
    found.push(...page.objects);
    if (page.next === undefined) return found;
    after = page.next;
  }
}

export function etagOf(outcome: CommitOutcome): ETag {
  if (outcome.kind !== "committed") throw new Error(`expected a commit, got ${outcome.kind}`);
  return outcome.etag;
}

/** `size` bytes that differ between seeds. */
function pattern(size: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let state = (seed * 2654435761 + 12345) >>> 0;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}
