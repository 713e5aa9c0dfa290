import { describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import type { ProjectId } from "../../src/core/base/ids.ts";
import { systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ListPage, ObjectStore, StoredObject } from "../../src/core/store/object-store.ts";
import { Authorizer, HIDING_MS } from "../../src/server/auth/authorizer.ts";
import { NOBODY, type Principal, type Role } from "../../src/server/auth/principal.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const PRIVATE = "a".repeat(32) as ProjectId;
const ABSENT = "b".repeat(32) as ProjectId;

function user(fields: Partial<Principal> = {}): Principal {
  return { ...NOBODY, account: "ada", userId: "ad".repeat(16), scope: "admin", ...fields };
}

const MEMBER = user({ userId: "3e".repeat(16) });
const ORG_ID = "c".repeat(32) as ProjectId;
const PUBLIC = "d".repeat(32) as ProjectId;

interface WorldOptions {
  role?: Role | undefined;
  /** Of each request to the store: for what is there, and for what is not. */
  foundMs?: number;
  missedMs?: number;
}

/** A forge over a store that takes its time, with a private project that was called otherwise before. */
async function world(options: WorldOptions = {}) {
  const clock = new VirtualClock();
  const store = new MemoryStore(clock);
  const asked: string[] = [];
  const slow = new Proxy(store as ObjectStore, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return async (...args: unknown[]) => {
        asked.push(String(name));
        const answer = (await value.apply(target, args)) as StoredObject | ListPage | undefined;
        const isThere = answer !== undefined && (!("objects" in answer) || answer.objects.length > 0);
        await clock.sleep((isThere ? options.foundMs : options.missedMs) ?? 0);
        return answer;
      };
    },
  });
  const ports = { clock, random: systemRandom, trustWriters: true };
  const quick = new ForgeService({ store, address: "memory", ...ports });
  await clock.run(quick.createProject({ id: PRIVATE, name: "acme/former" }));
  await clock.run(quick.updateProject(PRIVATE, { name: "acme/private" }));
  await clock.run(quick.createProject({ id: ORG_ID, name: "acme/other" }));
  await clock.run(quick.createProject({ id: PUBLIC, name: "open/public", visibility: "public" }));
  const accounts = {
    roleIn: (userId: string) => (userId === MEMBER.userId ? "write" : options.role),
    roleInOrganization: () => undefined,
    isNameTaken: () => false,
    onRolesChanged: () => () => undefined,
  };
  const forge = new ForgeService({ store: slow, address: "slow", ...ports });
  return { clock, asked, options, authorizer: new Authorizer({ forge, accounts, clock }) };
}

/** What a caller is told, how long after it asked, and what that took of the store. */
async function told(
  { clock, asked, authorizer }: Awaited<ReturnType<typeof world>>,
  principal: Principal,
  text: string,
): Promise<unknown> {
  const startMs = clock.nowMs();
  const before = asked.length;
  try {
    const isOrganization = !text.includes("/") && text.length < 32;
    const asking = isOrganization
      ? authorizer.organization(principal, "organization-read", text)
      : authorizer.project(principal, "project-read", text);
    return await clock.run(Promise.resolve(asking));
  } catch (error) {
    const { code, message, hint, data } = error as MicError;
    const words = { code, message: message.replace(text, "WHAT"), hint, data };
    return { ...words, afterMs: clock.nowMs() - startMs, asked: asked.slice(before) };
  }
}

/** [hidden, absent] */
const PAIRS = [
  ["acme/private", "acme/none"],
  ["acme/private", "none/none"],
  ["acme/former", "acme/none"],
  [PRIVATE, ABSENT],
  ["acme", "none"],
] as const;

describe("Authorizer.project()", () => {
  interface Told {
    readonly code: string;
    readonly afterMs: number;
    readonly asked: readonly string[];
  }

  /** Asks for what is hidden and what is absent: asked by nobody, just now, a moment ago, and by a member meanwhile. */
  async function compare(
    slow: Awaited<ReturnType<typeof world>>,
    check: (one: Told, other: Told, when: string) => void,
  ): Promise<void> {
    const { clock } = slow;
    for (const principal of [user(), NOBODY]) {
      for (const [hidden, none] of PAIRS) {
        for (const pauseMs of [0, 10, 300, 1_500, undefined]) {
          if (pauseMs === undefined) await told(slow, MEMBER, hidden);
          else await clock.run(clock.sleep(pauseMs));
          const one = (await told(slow, principal, hidden)) as Told;
          const other = (await told(slow, principal, none)) as Told;
          check(one, other, `${hidden} after ${pauseMs}`);
          expect(one.code).toBe(principal === NOBODY ? "unauthenticated" : "not-found");
        }
      }
    }
  }

  test.each([
    [0, 0],
    [3, 1],
    [1, 4],
    [30, 30],
    [240, 240],
  ])(
    "tells of a private project what it tells of none, at the same time: the store finds in %d ms and misses in %d ms",
    async (foundMs, missedMs) => {
      await compare(await world({ foundMs, missedMs }), (one, other, when) => {
        if (when.startsWith("acme after"))
          expect({ ...one, asked: [] }, when).toEqual({ ...other, asked: [] });
        else expect(one, when).toEqual(other);
        expect(one.afterMs % HIDING_MS).toBe(0);
      });
    },
  );

  test.each([
    [60, 55],
    [211, 214],
    [24, 90],
  ])(
    "where the store finds in %d ms and misses in %d ms, tells so once at most",
    async (foundMs, missedMs) => {
      const slow = await world({ foundMs, missedMs });
      for (const [hidden, none] of PAIRS) {
        await told(slow, user(), hidden);
        await told(slow, user(), none);
      }
      await compare(slow, (one, other, when) => expect(one.afterMs, when).toBe(other.afterMs));
      // One that was kept waiting for a minute makes nobody else wait as long, and is forgotten.
      const { clock } = slow;
      slow.options.foundMs = 60_000;
      await told(slow, user(), PRIVATE);
      slow.options.foundMs = foundMs;
      expect(await told(slow, user(), PRIVATE)).toMatchObject({ afterMs: 2_025 });
      await clock.run(clock.sleep(130_000));
      expect(await told(slow, user(), PRIVATE)).toMatchObject({
        afterMs: HIDING_MS * (Math.floor(foundMs / HIDING_MS) + 1),
      });
    },
  );

  test("asks the store for nothing while it knows a project that the caller sees, and for an administrator's right never", async () => {
    const known = await world();
    for (const [principal, what, id] of [
      [MEMBER, "acme/private", PRIVATE],
      [user(), "open/public", PUBLIC],
      [NOBODY, PUBLIC, PUBLIC],
    ] as const) {
      await told(known, principal, what);
      const { length } = known.asked;
      for (let calls = 0; calls < 5; calls++) expect(await told(known, principal, what)).toBe(id);
      expect(known.asked).toHaveLength(length);
    }
    const { length } = known.asked;
    expect(known.authorizer.project(user({ isSiteAdmin: true }), "project-own", ABSENT)).toBe(ABSENT);
    expect(known.asked).toHaveLength(length);
  });

  test("a role that is taken away is gone at the next call, although the project is remembered", async () => {
    const options: WorldOptions = { role: "write" };
    const changing = await world(options);
    expect(await told(changing, user(), "acme/private")).toBe(PRIVATE);
    options.role = undefined;
    expect(await told(changing, user(), "acme/private")).toMatchObject({ code: "not-found" });
  });

  test("a project that is seen and may not be written is forbidden, remembered or not", async () => {
    const reading = await world({ role: "read" });
    const { clock, authorizer } = reading;
    for (let calls = 0; calls < 2; calls++) {
      const asking = Promise.resolve(authorizer.project(user(), "project-write", "acme/private"));
      await expect(clock.run(asking)).rejects.toMatchObject({ code: "forbidden" });
    }
    const asking = Promise.resolve(authorizer.project(NOBODY, "project-write", "open/public"));
    await expect(clock.run(asking)).rejects.toMatchObject({ code: "unauthenticated" });
  });

  test("a store that fails is no project that is missing", async () => {
    const clock = new VirtualClock();
    const forge = {
      getProject: () => Promise.reject(new MicError("unreachable", "the store does not answer")),
    } as unknown as Forge;
    const accounts = {
      roleIn: () => undefined,
      roleInOrganization: () => undefined,
      isNameTaken: () => false,
      onRolesChanged: () => () => undefined,
    };
    const broken = new Authorizer({ forge, accounts, clock });
    await expect(broken.project(user(), "project-read", PRIVATE)).rejects.toMatchObject({
      code: "unreachable",
    });
  });
});
