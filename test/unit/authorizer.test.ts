import { describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import type { ProjectId } from "../../src/core/base/ids.ts";
import type { Forge, ProjectInfo } from "../../src/core/forge/forge.ts";
import { Authorizer, HIDING_MS } from "../../src/server/auth/authorizer.ts";
import { NOBODY, type Principal, type Role } from "../../src/server/auth/principal.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const PRIVATE = "a".repeat(32) as ProjectId;
const ABSENT = "b".repeat(32) as ProjectId;
const NAMES: Readonly<Record<string, ProjectId>> = { "acme/private": PRIVATE };

function user(fields: Partial<Principal> = {}): Principal {
  return { ...NOBODY, account: "ada", userId: "ad".repeat(16), scope: "admin", ...fields };
}

/** A forge that takes `foundMs` to find a project and `missedMs` to find none. */
function world(options: { role?: Role; foundMs?: number; missedMs?: number } = {}) {
  const clock = new VirtualClock();
  const asked: string[] = [];
  const forge = {
    async getProject(what: string): Promise<ProjectInfo> {
      asked.push(what);
      const id = what === PRIVATE ? PRIVATE : NAMES[what];
      await clock.sleep((id === undefined ? options.missedMs : options.foundMs) ?? 0);
      if (id === undefined) throw new MicError("not-found", `no ${what} in the store`);
      return { id, name: "acme/private", visibility: "private" } as ProjectInfo;
    },
  } as unknown as Forge;
  const accounts = {
    roleIn: () => options.role,
    roleInOrganization: () => undefined,
    isNameTaken: () => false,
    onRolesChanged: () => () => undefined,
  };
  return { clock, asked, authorizer: new Authorizer({ forge, accounts, clock }) };
}

/** What a caller is told, and how long after it asked. */
async function told(
  { clock, authorizer }: ReturnType<typeof world>,
  principal: Principal,
  text: string,
): Promise<unknown> {
  const startMs = clock.nowMs();
  try {
    return await clock.run(Promise.resolve(authorizer.project(principal, "project-read", text)));
  } catch (error) {
    const { code, message, hint, data } = error as MicError;
    return { code, message: message.replace(text, "WHAT"), hint, data, afterMs: clock.nowMs() - startMs };
  }
}

describe("Authorizer.project()", () => {
  test.each([
    [0, 0],
    [3, 1],
    [1, 19],
    [24, 2],
    [7, 24.9],
  ])(
    "tells of a private project what it tells of none, at the same time: found in %d ms, missed in %d ms",
    async (foundMs, missedMs) => {
      for (const principal of [user(), NOBODY]) {
        for (const [hidden, none] of [
          ["acme/private", "acme/none"],
          [PRIVATE, ABSENT],
        ] as const) {
          const one = await told(world({ foundMs, missedMs }), principal, hidden);
          const other = await told(world({ foundMs, missedMs }), principal, none);
          expect(one).toEqual(other);
          expect(one).toMatchObject({ afterMs: HIDING_MS });
        }
      }
    },
  );

  test("takes a multiple of that time where the store is slow", async () => {
    const slow = world({ foundMs: 60, missedMs: 70 });
    expect(await told(slow, user(), "acme/private")).toMatchObject({ afterMs: 3 * HIDING_MS });
    expect(await told(slow, user(), "acme/none")).toMatchObject({ afterMs: 3 * HIDING_MS });
  });

  test("asks the store for nothing while it knows the project, and an administrator's right needs no project", async () => {
    const known = world({ role: "read" });
    for (let calls = 0; calls < 5; calls++) {
      expect(await told(known, user(), "acme/private")).toBe(PRIVATE);
    }
    expect(known.asked).toEqual(["acme/private"]);
    expect(known.authorizer.project(user({ isSiteAdmin: true }), "project-own", ABSENT)).toBe(ABSENT);
    expect(known.asked).toEqual(["acme/private"]);
  });

  test("a role that is taken away is gone at the next call, although the project is remembered", async () => {
    const options: { role?: Role } = { role: "write" };
    const changing = world(options);
    expect(await told(changing, user(), "acme/private")).toBe(PRIVATE);
    delete options.role;
    expect(await told(changing, user(), "acme/private")).toMatchObject({ code: "not-found" });
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
