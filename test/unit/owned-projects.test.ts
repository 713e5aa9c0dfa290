/** Who comes to own what is made, moved, or made again: the forge, the accounts and the authorizer as a server has them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import type { ProjectId } from "../../src/core/base/ids.ts";
import { mintProjectId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge, Page, PageRequest, ProjectInfo, Visibility } from "../../src/core/forge/forge.ts";
import { claimName } from "../../src/core/forge/projects/names.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { CountingStore } from "../../src/core/store/counting-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { Authorizer } from "../../src/server/auth/authorizer.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { OwnedProjects } from "../../src/server/auth/owned-projects.ts";
import { NOBODY, type Principal, type Role } from "../../src/server/auth/principal.ts";
import { SqliteAccounts } from "../../src/server/auth/sqlite-accounts.ts";
import { SqliteAudit } from "../../src/server/auth/sqlite-audit.ts";

let directory: string;
let database: AuthDatabase;
let accounts: SqliteAccounts;
let audit: SqliteAudit;
let store: MemoryStore;
let forge: ForgeService;
let projects: OwnedProjects;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mic-owned-projects-"));
  database = new AuthDatabase({ file: join(directory, "accounts.db") });
  accounts = new SqliteAccounts({ database, clock: systemClock, random: systemRandom });
  audit = new SqliteAudit({ database, clock: systemClock });
  const ports = { clock: systemClock, random: systemRandom };
  store = new MemoryStore(systemClock);
  forge = new ForgeService({ store, address: "memory", ...ports, trustWriters: true });
  projects = serverOf(forge);
});
afterEach(() => {
  accounts[Symbol.dispose]();
  database[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

/** Another process over the same store and accounts. */
function serverOf(opened: Forge): OwnedProjects {
  const authorizer = new Authorizer({ forge: opened, accounts, clock: systemClock });
  return new OwnedProjects({ forge: opened, accounts, authorizer, audit });
}

/** A forge that fails in place of `method`, or after it. */
function failing(method: "createProject" | "createOrganization", when: "before" | "after"): Forge {
  return new Proxy(forge as Forge, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      if (name !== method) return value.bind(target);
      return async (...args: unknown[]) => {
        if (when === "after") await value.apply(target, args);
        throw new MicError("unreachable", "the server ended here");
      };
    },
  });
}

async function user(name: string, fields: Partial<Principal> = {}): Promise<Principal> {
  const { id } = await accounts.createUser({ name, isSiteAdmin: fields.isSiteAdmin === true });
  return { ...NOBODY, account: name, userId: id, scope: "admin", ...fields };
}

const joins = (org: string, { userId }: Principal, role: Role | undefined): void =>
  accounts.setOrganizationRole(org, userId!, role);
const make = (principal: Principal, name: string, id = newId()): Promise<ProjectInfo> =>
  projects.createProject({ id, name }, { principal });
const newId = (): ProjectId => mintProjectId(systemRandom);
const roleIn = ({ userId }: Principal, { id, name }: ProjectInfo): Role | undefined =>
  accounts.roleIn(userId!, id, name.slice(0, name.indexOf("/")));
const fails = (code: string, message?: string | RegExp) => ({
  code,
  ...(message === undefined ? {} : { message: expect.stringMatching(message) }),
});
const taken = (id: ProjectId) => ({ code: "already-exists", message: `the project id ${id} is taken` });

describe("createProject()", () => {
  test("gives whoever makes it the role of owner, once", async () => {
    const [ada, ben] = [await user("ada"), await user("ben")];
    await make(ada, "acme/one");
    joins("acme", ben, "write");
    const made = await make(ben, "acme/two");
    expect(roleIn(ben, made)).toBe("owner");
    expect(await make(ben, "acme/two", made.id)).toMatchObject({ id: made.id, name: "acme/two" });
    expect(audit.list({ action: "project.created", limit: 9 }).records).toHaveLength(2);
    expect(accounts.findCreation(made.id)).toBeUndefined();
  });

  test("repeated with a token that may write and not administer is answered too: it was enough the first time", async () => {
    const ada = await user("ada", { scope: "write" });
    const made = await make(ada, "ada/one");
    expect(await make(ada, "ada/one", made.id)).toMatchObject({ id: made.id, name: "ada/one" });
    accounts.setProjectRole(made.id, ada.userId!, undefined);
    const ben = await user("ben", { scope: "write" });
    joins("ada", ben, "write");
    await expect(make(ben, "ada/one", made.id)).rejects.toMatchObject(taken(made.id));
  });

  test("repeated by another member gives no role and no answer", async () => {
    const [ada, ben] = [await user("ada"), await user("ben")];
    const one = await make(ada, "acme/one");
    joins("acme", ben, "write");
    await expect(make(ben, "acme/one", one.id)).rejects.toMatchObject(taken(one.id));
    expect(roleIn(ben, one)).toBe("write");
    expect(accounts.listProjectMembers(one.id)).toEqual([]);
  });

  test("does not bring back a role that was made less", async () => {
    const [ada, ben] = [await user("ada"), await user("ben")];
    await make(ada, "acme/one");
    joins("acme", ben, "write");
    const made = await make(ben, "acme/two");
    for (const role of ["read", undefined] as const) {
      accounts.setProjectRole(made.id, ben.userId!, role);
      await expect(make(ben, "acme/two", made.id)).rejects.toMatchObject(taken(made.id));
      expect(roleIn(ben, made)).toBe("write");
    }
  });

  test("says of a project that moved where the caller does not see it only that its id is taken", async () => {
    const [ada, ben, cy] = [await user("ada"), await user("ben"), await user("cy")];
    const two = await make(ada, "acme/two");
    await make(ada, "vault/own");
    joins("acme", ben, "write");
    await projects.updateProject(two.id, { name: "vault/two" }, { principal: ada });
    await expect(make(ben, "acme/two", two.id)).rejects.toMatchObject(taken(two.id));
    await expect(make(ben, "acme/other", two.id)).rejects.toMatchObject(taken(two.id));
    await expect(make(cy, "cy/two", two.id)).rejects.toMatchObject(taken(two.id));
    await expect(make(ben, "acme/two")).rejects.toMatchObject(
      fails("already-exists", /^the name acme\/two is taken$/),
    );
    expect(roleIn(ben, { ...two, name: "vault/two" })).toBeUndefined();
    // Neither the names nor the organization of who tried came to be.
    await expect(forge.getOrganization("cy")).rejects.toMatchObject(fails("not-found"));
  });

  test("says the same of an id whose project was deleted, and of one that another is just making", async () => {
    const [ada, ben] = [await user("ada"), await user("ben")];
    const gone = await make(ada, "ada/gone");
    await projects.deleteProject(gone.id, { principal: ada });
    const begun = newId();
    accounts.startCreation(begun, "ada/begun", ada.userId!);
    const hidden = await make(ada, "ada/hidden");
    const answers = await Promise.all(
      [gone.id, begun, hidden.id].map(async (id) => {
        const error = (await make(ben, "ben/x", id).catch((cause: unknown) => cause)) as MicError;
        return {
          code: error.code,
          message: error.message.replace(id, "ID"),
          hint: error.hint,
          data: error.data,
        };
      }),
    );
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).toEqual(answers[0]);
    expect(answers[0]).toMatchObject({ code: "already-exists", message: "the project id ID is taken" });
  });

  test("a rename that stopped half way makes nobody an owner", async () => {
    const [ada, ben] = [await user("ada"), await user("ben")];
    const one = await make(ada, "acme/one");
    await make(ada, "open/own");
    joins("open", ben, "write");
    // The new name leads to the project, which does not have it yet.
    await claimName({ store, clock: systemClock, random: systemRandom }, "open/one", one.id);
    await expect(make(ben, "open/one", one.id)).rejects.toMatchObject(taken(one.id));
    expect(roleIn(ben, one)).toBeUndefined();
  });

  test.each(["before", "after"] as const)(
    "interrupted %s the project is made, is finished by the same call of the same user, and of no other",
    async (when) => {
      const [ada, ben, cy] = [await user("ada"), await user("ben"), await user("cy")];
      await make(ada, "acme/one");
      joins("acme", ben, "write");
      joins("acme", cy, "write");
      const id = newId();
      const request = { id, name: "acme/two" };
      const interrupted = serverOf(failing("createProject", when));
      await expect(interrupted.createProject(request, { principal: ben })).rejects.toMatchObject(
        fails("unreachable"),
      );
      await expect(make(cy, "acme/two", id)).rejects.toMatchObject(taken(id));
      const made = await make(ben, "acme/two", id);
      expect(roleIn(ben, made)).toBe("owner");
      expect(roleIn(cy, made)).toBe("write");
    },
  );

  test("a creation that came to nothing is no right to what another makes under the id later", async () => {
    const [ada, ben] = [await user("ada"), await user("ben")];
    await make(ada, "acme/one");
    joins("acme", ben, "write");
    const id = newId();
    const interrupted = serverOf(failing("createProject", "before"));
    await expect(interrupted.createProject({ id, name: "acme/two" }, { principal: ben })).rejects.toThrow();
    database.write((sql) => sql.exec("UPDATE creations SET started_at = started_at - 3600000"));
    // In the store itself.
    const two = await forge.createProject({ id, name: "acme/two" });
    await expect(make(ben, "acme/two", id)).rejects.toMatchObject(taken(id));
    expect(roleIn(ben, two)).toBe("write");
    // A refusal leaves nothing behind either.
    await expect(make(ben, "acme/one")).rejects.toMatchObject(fails("already-exists"));
    expect(database.sql.prepare("SELECT count(*) AS n FROM creations").get()).toEqual({ n: 1 });
  });

  test("of one id made by two at once belongs to one", async () => {
    const [ada, ben, cy] = [await user("ada"), await user("ben"), await user("cy")];
    await make(ada, "acme/one");
    joins("acme", ben, "write");
    joins("acme", cy, "write");
    for (const [first, second] of [
      [ben, cy],
      [cy, ben],
    ] as const) {
      const id = newId();
      const name = `acme/${first.account}`;
      const other = serverOf(forge);
      const results = await Promise.allSettled([
        make(first, name, id),
        other.createProject({ id, name }, { principal: second }),
      ]);
      expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
      expect(accounts.listProjectMembers(id)).toHaveLength(1);
    }
  });
});

describe("an organization's first project", () => {
  test("leaves in the audit log who came to own the organization, once", async () => {
    const ada = await user("ada");
    const one = await make(ada, "acme/one");
    await make(ada, "acme/two");
    await projects.updateProject(one.id, { name: "lab/one" }, { principal: ada });
    const { records } = audit.list({ action: "organization.created", limit: 9 });
    expect(records.map(({ account, target }) => `${account} ${target}`)).toEqual([
      "ada organization:lab",
      "ada organization:acme",
    ]);
  });

  test("makes no member who writes its owner: neither of a user's own one, nor of one that is kept for its user", async () => {
    const [ada, ben] = [await user("ada"), await user("ben")];
    joins("ada", ben, "write");
    joins("kept", ada, "owner");
    joins("kept", ben, "write");
    for (const org of ["ada", "kept"]) {
      await expect(projects.createOrganization({ name: org }, { principal: ben })).rejects.toMatchObject(
        fails("already-exists"),
      );
      const made = await make(ben, `${org}/first`);
      expect(accounts.roleInOrganization(ben.userId!, org)).toBe("write");
      expect(accounts.listProjectMembers(made.id)).toMatchObject([{ user: { name: "ben" }, role: "owner" }]);
      expect(accounts.roleInOrganization(ada.userId!, org)).toBe("owner");
    }
  });

  test("makes no administrator of the site an owner of what is another's", async () => {
    const [ada, root] = [await user("ada"), await user("root", { isSiteAdmin: true })];
    await make(root, "ada/first");
    await forge.createOrganization({ name: "old" });
    await make(root, "old/first");
    for (const org of ["ada", "old"]) expect(accounts.roleInOrganization(root.userId!, org)).toBeUndefined();
    await make(root, "fresh/first");
    expect(accounts.roleInOrganization(root.userId!, "fresh")).toBe("owner");
    expect(accounts.roleInOrganization(ada.userId!, "ada")).toBe("owner");
  });

  test("leaves its organization to whoever was first in the forge", async () => {
    const ben = await user("ben");
    const authorizer = new Authorizer({ forge, accounts, clock: systemClock });
    // Between the question and the answer somebody else made it in the store.
    const overtaken = new Proxy(forge as Forge, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        if (name !== "createOrganization") return value.bind(target);
        return async (...args: unknown[]) => {
          await target.createOrganization({ name: "acme" });
          return await (value.apply(target, args) as Promise<unknown>);
        };
      },
    });
    const server = new OwnedProjects({ forge: overtaken, accounts, authorizer, audit });
    await expect(
      server.createProject({ id: newId(), name: "acme/one" }, { principal: ben }),
    ).rejects.toMatchObject(fails("already-exists"));
    expect(accounts.roleInOrganization(ben.userId!, "acme")).toBeUndefined();
  });

  test("is its user's when the server ended before the organization was made", async () => {
    const [ada, ben] = [await user("ada"), await user("ben")];
    const interrupted = serverOf(failing("createOrganization", "before"));
    await expect(
      interrupted.createProject({ id: newId(), name: "acme/one" }, { principal: ada }),
    ).rejects.toMatchObject(fails("unreachable"));
    await expect(make(ben, "acme/one")).rejects.toMatchObject(fails("forbidden"));
    await make(ada, "acme/one");
    expect(accounts.roleInOrganization(ada.userId!, "acme")).toBe("owner");
  });
});

describe("updateProject()", () => {
  test("moves a project only where the caller may make one, and to no new organization with a token for one project", async () => {
    const [ada, ben] = [await user("ada"), await user("ben")];
    const one = await make(ada, "ada/one");
    await make(ben, "ben/own");
    await expect(
      projects.updateProject(one.id, { name: "ben/one" }, { principal: ada }),
    ).rejects.toMatchObject(fails("forbidden"));
    const limited = { ...ada, onlyProject: one.id };
    for (const name of ["fresh/one", "ben/one"]) {
      await expect(projects.updateProject(one.id, { name }, { principal: limited })).rejects.toMatchObject(
        fails("forbidden", /one project only/),
      );
    }
    await expect(forge.getOrganization("fresh")).rejects.toMatchObject(fails("not-found"));
    expect(accounts.roleInOrganization(ada.userId!, "fresh")).toBeUndefined();
    const renamed = await projects.updateProject(one.id, { name: "ada/uno" }, { principal: limited });
    expect(renamed.name).toBe("ada/uno");
  });
});

describe("a user whose name nobody could compare with organizations", () => {
  test("owns the one of its name when it makes it, and none that there was", async () => {
    const { id } = await accounts.createUser({ name: "acme", ownsName: false });
    const acme: Principal = { ...NOBODY, account: "acme", userId: id, scope: "admin" };
    const ben = await user("ben");
    await expect(make(ben, "acme/x")).rejects.toMatchObject(fails("forbidden"));
    expect(accounts.roleInOrganization(id, "acme")).toBeUndefined();
    await make(acme, "acme/one");
    expect(accounts.roleInOrganization(id, "acme")).toBe("owner");

    await forge.createOrganization({ name: "guild" });
    const guild = await accounts.createUser({ name: "guild", ownsName: false });
    await expect(
      make({ ...NOBODY, account: "guild", userId: guild.id, scope: "admin" }, "guild/x"),
    ).rejects.toMatchObject(fails("forbidden"));
    expect(accounts.roleInOrganization(guild.id, "guild")).toBeUndefined();
    // It is a member like others.
    accounts.setOrganizationRole("guild", ben.userId!, "owner");
    accounts.setOrganizationRole("guild", guild.id, "read");
    accounts.setOrganizationRole("guild", guild.id, undefined);
    expect(accounts.listOrganizationMembers("guild")).toMatchObject([{ user: { name: "ben" } }]);
  });
});

describe("lists", () => {
  test("of organizations show those with a project that the caller sees, for few requests", async () => {
    const [ada, ben] = [await user("ada"), await user("ben")];
    const expected: string[] = [];
    const add = async (org: string, visibility: Visibility, count = 1): Promise<void> => {
      for (let i = 0; i < count; i++) {
        const name = `${org}/${String(i).padStart(3, "0")}`;
        const { id } = await projects.createProject({ id: newId(), name, visibility }, { principal: ada });
        // The last one is shared.
        if (org === "shared" && i === count - 1) accounts.setProjectRole(id, ben.userId!, "read");
      }
      if (visibility === "public" || org === "shared") expected.push(org);
    };
    // `-` and `.` come before the `/` that ends a name, so `a-b` before `a`; and some are larger than a page.
    for (const org of ["a", "a-b", "a.b", "ab", "m-0", "m"]) await add(org, "public", 2);
    await add("b", "private", 70);
    await add("b-c", "public");
    await add("c", "public", 70);
    await add("shared", "private", 40);
    for (let i = 0; i < 30; i++) await add(`z${i}`, i % 6 === 0 ? "public" : "private");
    await projects.createOrganization({ name: "empty" }, { principal: ada });
    joins("b", ben, "read");
    expected.push("b");
    const inOrder = (names: string[]): string[] => names.sort((a, b) => (`${a}/` < `${b}/` ? -1 : 1));
    const counting = new CountingStore(store);
    const ports = { clock: systemClock, random: systemRandom };
    const fresh = new ForgeService({ store: counting, address: "memory", ...ports, trustWriters: true });
    const server = serverOf(fresh);
    const names = ({ items }: { readonly items: readonly { readonly name: string }[] }): string[] =>
      items.map(({ name }) => name);
    const page = await server.listOrganizations({ limit: 200 }, { principal: ben });
    expect(names(page)).toEqual(inOrder(expected));
    expect(counting.counts.lists).toBeLessThan(15);
    for (const limit of [1, 7]) {
      const seen: string[] = [];
      for (let after: string | undefined, isFirst = true; isFirst || after !== undefined; isFirst = false) {
        const request = { limit, ...(after === undefined ? {} : { after }) };
        const some: Page<{ name: string }> = await server.listOrganizations(request, { principal: ben });
        seen.push(...names(some));
        after = some.next;
      }
      expect(seen).toEqual(inOrder(expected));
    }
    const nobody = await server.listOrganizations({ limit: 200 }, { principal: NOBODY });
    expect(names(nobody)).toEqual(inOrder(expected.filter((name) => name !== "shared" && name !== "b")));
  });

  test.each(["projects", "organizations"] as const)(
    "of %s tell nothing of what the caller does not see, wherever they begin",
    async (what) => {
      const [ada, ben] = [await user("ada"), await user("ben")];
      const hidden = Array.from({ length: 45 }, (_, i) => `hidden-${String(i).padStart(2, "0")}`);
      for (const name of hidden) await make(ada, `${name}/secret`);
      await make(ben, "zed/seen");
      const list = async (after: string) =>
        what === "projects"
          ? await projects.listProjects({ limit: 1, after }, { principal: ben })
          : await projects.listOrganizations({ limit: 1, after }, { principal: ben });
      // Where it makes a difference for a begin between two names, they can be found by trying.
      const end = what === "projects" ? "/secret" : "";
      for (const name of ["h", ...hidden.map((org) => org + end)]) {
        const { items, next } = await list(name);
        expect(items.map((item) => item.name)).toEqual([what === "projects" ? "zed/seen" : "zed"]);
        expect(next).toBeUndefined();
      }
    },
  );

  test("lead past what the caller does not see, however much it is, and tell not even how long its name is", async () => {
    const hiddenCount = 40_000;
    const nameOf = (i: number): string => `hidden/${String(i).padStart(6, "0")}${"x".repeat(i % 80)}`;
    const authorizer = new Authorizer({ forge, accounts, clock: systemClock });
    let asked = 0;
    const listAll = async ({ after, limit = 100 }: PageRequest): Promise<Page<{ name: string }>> => {
      const start = after === undefined ? 0 : Number(after.slice(7, 13)) + 1;
      const count = Math.min(limit, hiddenCount - start);
      asked += count;
      const items = Array.from({ length: count }, (_, i) => ({ name: nameOf(start + i) }));
      const last = { name: "seen/zed" };
      if (start + limit > hiddenCount) return { items: [...items, last] };
      return { items, next: items.at(-1)!.name };
    };
    const list = (limit: number, after?: string) =>
      authorizer.visible({ limit, ...(after === undefined ? {} : { after }) }, listAll, (found) =>
        found.filter(({ name }) => name.startsWith("seen")),
      );
    const pages = [await list(2)];
    expect(asked).toBeLessThan(20_000);
    for (let next = pages[0]!.next; next !== undefined; next = pages.at(-1)!.next) {
      expect(next).not.toContain("hidden");
      expect(Buffer.from(next.slice(1), "base64url").toString("latin1")).not.toContain("hidden");
      pages.push(await list(2, next));
    }
    expect(pages.length).toBeGreaterThan(2);
    expect(pages.flatMap(({ items }) => items.map(({ name }) => name))).toEqual(["seen/zed"]);
    const ends = await Promise.all([1, 2, 3, 17].map(async (limit) => (await list(limit)).next!.length));
    expect(new Set(ends).size).toBe(1);
    for (const bad of ["~", "~AAAA", `${pages[0]!.next!.slice(0, -4)}AAAA`, `~${"A".repeat(5_000)}`]) {
      await expect(list(2, bad)).rejects.toMatchObject(fails("usage"));
    }
  });
});
