import { describe, expect, test } from "vitest";
import type { Clock } from "../../src/core/base/clock.ts";
import { MicError } from "../../src/core/base/errors.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { CommitOutcome, ObjectStore, Put, Swap } from "../../src/core/store/object-store.ts";
import { openS3Store } from "../../src/core/store/s3/open.ts";
import { probeBucket, probeStore } from "../../src/core/store/s3/probe.ts";
import { judgeRace } from "../../src/core/store/s3/probe-races.ts";
import { S3Server } from "../support/s3-server.ts";

const WINDOW_MS = 15 * 60_000;
/** Waits end at once. */
const clock: Clock = { nowMs: () => systemClock.nowMs(), sleep: () => Promise.resolve() };
const options = { clock, random: systemRandom };

/** As a store on S3: what was signed too long ago is refused. */
class HonestStore extends MemoryStore {
  constructor() {
    super(systemClock);
  }

  override async commit(puts: readonly Put[], swap: Swap): Promise<CommitOutcome> {
    const isOld = swap.checkedAtMs !== undefined && systemClock.nowMs() - swap.checkedAtMs > WINDOW_MS;
    if (isOld) return { kind: "unknown", cause: new Error("RequestTimeTooSkewed") };
    return await super.commit(puts, swap);
  }

  /** Writes without a look. */
  async overwrite(swap: Swap): Promise<CommitOutcome> {
    for (;;) {
      const current = await this.get(swap.key);
      const outcome = await super.commit([], { ...swap, expected: current?.etag ?? null });
      if (outcome.kind === "committed") return outcome;
    }
  }
}

const failures = async (store: ObjectStore): Promise<string[]> => {
  const { checks, passed } = await probeStore(store, options);
  const failed = checks.filter((check) => !check.passed);
  expect(passed).toBe(failed.length === 0);
  for (const { problem, fix } of failed) expect([problem, fix]).not.toContain("");
  return failed.map(({ name }) => name);
};

describe("probeStore()", () => {
  test("passes an honest store, and leaves nothing behind", async () => {
    const store = new HonestStore();
    await store.put("probe/3-0123456789abcdef/left-by-a-crash", new Uint8Array(1));
    await store.put("projects/x", new Uint8Array(1));
    expect(await failures(store)).toEqual([]);
    expect((await store.list("")).objects.map(({ key }) => key)).toEqual(["projects/x"]);
  });

  test("leaves another probe alone that runs at the same time", async () => {
    const store = new HonestStore();
    await Promise.all([1, 2, 3].map(() => probeBucket(store, options)));
    expect((await store.list("")).objects).toEqual([]);
  });

  test("refuses a store that ignores If-Match", async () => {
    class IgnoresIfMatch extends HonestStore {
      override async commit(puts: readonly Put[], swap: Swap): Promise<CommitOutcome> {
        return swap.expected === null ? await super.commit(puts, swap) : await this.overwrite(swap);
      }
    }
    expect(await failures(new IgnoresIfMatch())).toEqual([
      "if-match race",
      "stale ETag",
      "missing key",
      "old signature",
    ]);
  });

  test("refuses a store that ignores If-None-Match", async () => {
    class IgnoresIfNoneMatch extends HonestStore {
      override async commit(puts: readonly Put[], swap: Swap): Promise<CommitOutcome> {
        return swap.expected === null ? await this.overwrite(swap) : await super.commit(puts, swap);
      }
    }
    expect(await failures(new IgnoresIfNoneMatch())).toEqual([
      "create-if-absent race",
      "create over an object",
    ]);
  });

  test("refuses a store that checks and then acts", async () => {
    class ChecksThenActs extends HonestStore {
      override async commit(puts: readonly Put[], swap: Swap): Promise<CommitOutcome> {
        const current = await this.get(swap.key);
        if ((current?.etag ?? null) !== swap.expected) {
          return { kind: current === undefined ? "missing" : "lost" };
        }
        await new Promise((resolve) => setImmediate(resolve));
        return await super.commit(puts, { ...swap, expected: (await this.get(swap.key))?.etag ?? null });
      }
    }
    const names = await failures(new ChecksThenActs());
    expect(names.some((name) => name.endsWith("race"))).toBe(true);
  });

  test("refuses a store that takes signatures of any age", async () => {
    expect(await failures(new MemoryStore(systemClock))).toEqual(["old signature"]);
  });

  test.each([
    [
      "ETags",
      class extends HonestStore {
        override async get(...args: Parameters<MemoryStore["get"]>) {
          const found = await super.get(...args);
          return found && { ...found, etag: `W/${found.etag}` };
        }
      },
    ],
    [
      "list",
      class extends HonestStore {
        override async list(...args: Parameters<MemoryStore["list"]>) {
          const page = await super.list(...args);
          return { ...page, objects: page.objects.filter(({ key }) => !key.endsWith("/b")) };
        }
      },
    ],
    [
      "ranges",
      class extends HonestStore {
        override get(key: string) {
          return super.get(key);
        }
      },
    ],
    [
      "delete",
      class extends HonestStore {
        override async delete(keys: readonly string[]) {
          await super.delete(keys.filter((key) => !key.endsWith("/2")));
        }
      },
    ],
  ])("refuses a store for its %s", async (name, Store) => {
    expect(await failures(new Store())).toContain(name);
  });

  test("refuses a store whose HEAD says another ETag", async () => {
    class OtherHead extends HonestStore {
      headEtag = async (): Promise<string> => "another";
    }
    expect(await failures(new OtherHead())).toEqual(["ETags"]);
  });

  test("does not blame the store for what it cannot know", async () => {
    class Refusing extends HonestStore {
      override async put(): Promise<void> {
        throw new MicError("forbidden", "no", { hint: "allow s3:PutObject" });
      }
    }
    await expect(probeStore(new Refusing(), options)).rejects.toMatchObject({ code: "forbidden" });
    class Silent extends HonestStore {
      override async commit(): Promise<CommitOutcome> {
        return { kind: "unknown", cause: new Error("no answer") };
      }
    }
    await expect(probeStore(new Silent(), options)).rejects.toMatchObject({ code: "unreachable" });
  });

  test("is patient with a store that limits writes per key", async () => {
    class Limited extends HonestStore {
      #turn = 0;
      override async commit(puts: readonly Put[], swap: Swap): Promise<CommitOutcome> {
        if (this.#turn++ % 3 === 0) return { kind: "unknown", cause: new Error("429") };
        return await super.commit(puts, swap);
      }
    }
    expect(await failures(new Limited())).toEqual([]);
  });

  test("takes a write that arrives late for what it is", async () => {
    class Late extends HonestStore {
      readonly #late = new Map<string, Swap>();
      override async commit(puts: readonly Put[], swap: Swap): Promise<CommitOutcome> {
        const late = this.#late.get(swap.key);
        if (late !== undefined && late.bytes.length === swap.bytes.length) await super.commit([], late);
        if (!swap.key.includes("race-1-") || late !== undefined) return await super.commit(puts, swap);
        // Both of a pair: the second follows in the same turn.
        queueMicrotask(() => this.#late.set(swap.key, swap));
        return { kind: "unknown", cause: new Error("no answer") };
      }
    }
    expect(await failures(new Late())).toEqual([]);
  });

  test("does not blame the store for a write that the network delivered a second time, later", async () => {
    class Twice extends HonestStore {
      #deletions = 0;
      override async delete(keys: readonly string[]): Promise<void> {
        await super.delete(keys);
        const last = keys.find((key) => key.endsWith("/2"));
        if (last !== undefined && ++this.#deletions === 2) await super.put(last, new Uint8Array(1));
      }
    }
    const store = new Twice();
    expect(await failures(store)).toEqual([]);
    expect((await store.list("")).objects).toEqual([]);
  });

  test("says in one error what the store did wrong, and what to do", async () => {
    await expect(probeBucket(new MemoryStore(systemClock), options)).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/memory cannot hold a forge: old signature: .*20 minutes/),
      hint: expect.stringContaining("signature"),
    });
  });

  test.each(["fetch", "undici"] as const)(
    "passes a real server over %s, and a store of Google's",
    async (transport) => {
      for (const gcs of [false, true]) {
        await using server = await S3Server.start({ gcs });
        await using store = await openS3Store(server.options({ transport }));
        const report = await probeStore(store, { clock: systemClock, random: systemRandom, pairRounds: 1 });
        expect(report.checks.filter((check) => !check.passed)).toEqual([]);
        expect(server.objects.objects.size).toBe(0);
      }
    },
  );
});

describe("probeStore() on a server that refuses conditional writes", () => {
  test.each([
    [501, "NotImplemented", undefined],
    [403, "AccessDenied", "forbidden"],
    // A busy machine may be late once.
  ])("with %d says so at once", { retry: 2 }, async (status, code, thrown) => {
    await using server = await S3Server.start();
    await using store = await openS3Store(server.options());
    const isConditional = ({ headers }: { readonly headers: object }): boolean =>
      "if-match" in headers || "if-none-match" in headers;
    server.misbehave({ kind: "refuse", status, code }, isConditional, 1e6);
    const start = performance.now();
    const probing = probeStore(store, { clock: systemClock, random: systemRandom });
    if (thrown !== undefined) await expect(probing).rejects.toMatchObject({ code: thrown });
    else expect((await probing).checks[0]).toMatchObject({ name: "conditional writes", passed: false });
    expect(performance.now() - start).toBeLessThan(3000);
    expect(server.objects.objects.size).toBe(0);
  });
});

describe("judgeRace()", () => {
  const content = (byte: number) => new Uint8Array([byte]);
  const contents = [content(1), content(2)];
  const won = (etag: string): CommitOutcome => ({ kind: "committed", etag });
  const lost: CommitOutcome = { kind: "lost" };
  const unknown: CommitOutcome = { kind: "unknown", cause: undefined };
  test.each([
    ["one winner", [won("a"), lost], { bytes: content(1), etag: "a" }, "won"],
    ["two winners", [won("a"), won("b")], { bytes: content(2), etag: "b" }, /2 of 2 writers/],
    ["a winner that was overwritten", [won("a"), lost], { bytes: content(2), etag: "b" }, /overwritten/],
    ["a winner that is not there", [won("a"), lost], undefined, /not there/],
    ["another ETag on a read", [won("a"), lost], { bytes: content(1), etag: "A" }, /another ETag/],
    ["nobody, and nothing there", [lost, lost], undefined, /none of 2/],
    ["a winner whose answer was lost", [unknown, lost], { bytes: content(1), etag: "a" }, "won"],
    ["no definite answer", [unknown, lost], undefined, "nobody"],
    ["an attempt before that came late", [lost, lost], { bytes: content(3), etag: "a" }, "won"],
    ["a stranger's object", [lost, lost], { bytes: content(4), etag: "a" }, /none of 2/],
  ] as const)("%s", (_, outcomes, found, verdict) => {
    const judged = judgeRace(outcomes, contents, found, null, [content(3)]);
    if (typeof verdict === "string") expect(judged).toBe(verdict);
    else expect(judged).toMatch(verdict);
  });
});
