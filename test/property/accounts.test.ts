/** Accounts against a model of them: whatever is done, through whichever process, both say the same. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { isMicError } from "../../src/core/base/errors.ts";
import type { ProjectId } from "../../src/core/base/ids.ts";
import { systemRandom } from "../../src/core/base/system.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import type { Principal, Role, Scope } from "../../src/server/auth/principal.ts";
import { SqliteAccounts } from "../../src/server/auth/sqlite-accounts.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** Raised in long runs. */
const RUNS = Number(process.env["MIC_TEST_RUNS"] ?? 15);
/** How long another process's changes may go unseen. */
const LOOK_MS = 20;
const NAMES = ["ada", "ben", "cy"] as const;
/** One of them is a user's own. */
const ORGANIZATIONS = ["ada", "org"] as const;
const PROJECTS = ["1".repeat(32), "2".repeat(32)] as ProjectId[];
const ROLES = ["read", "write", "owner"] as const;
const RANK = { read: 1, write: 2, owner: 3 };

type Step =
  | {
      readonly kind: "token";
      readonly user: number;
      readonly scope: Scope;
      readonly lifeMs: number | undefined;
      readonly isSignIn: boolean;
    }
  | { readonly kind: "revoke"; readonly token: number }
  | { readonly kind: "disable"; readonly user: number; readonly isDisabled: boolean }
  | { readonly kind: "admin"; readonly user: number; readonly isAdmin: boolean }
  | {
      readonly kind: "project-role";
      readonly user: number;
      readonly project: number;
      readonly role: Role | undefined;
    }
  | {
      readonly kind: "organization-role";
      readonly user: number;
      readonly organization: number;
      readonly role: Role | undefined;
    }
  | { readonly kind: "wait"; readonly ms: number };

/** Through which of the two processes. */
type Command = { readonly process: 0 | 1; readonly step: Step };

const user = fc.nat(NAMES.length - 1);
const role = fc.constantFrom(undefined, ...ROLES);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant("token" as const),
    user,
    scope: fc.constantFrom("read" as const, "write" as const, "admin" as const),
    lifeMs: fc.constantFrom(undefined, 1, 50, 1000),
    isSignIn: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("revoke" as const), token: fc.nat(20) }),
  fc.record({ kind: fc.constant("disable" as const), user, isDisabled: fc.boolean() }),
  fc.record({ kind: fc.constant("admin" as const), user, isAdmin: fc.boolean() }),
  fc.record({ kind: fc.constant("project-role" as const), user, project: fc.nat(1), role }),
  fc.record({ kind: fc.constant("organization-role" as const), user, organization: fc.nat(1), role }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.constantFrom(1, 49, 1000) }),
);
const commands = fc.array(fc.record({ process: fc.constantFrom(0 as const, 1 as const), step }), {
  minLength: 10,
  maxLength: 60,
  size: "max",
});

interface ModelToken {
  readonly secret: string;
  readonly id: string;
  readonly user: number;
  readonly scope: Scope;
  readonly isSignIn: boolean;
  readonly expiresAtMs: number;
  isRevoked: boolean;
}

class Model {
  nowMs = 0;
  readonly tokens: ModelToken[] = [];
  readonly isDisabled = NAMES.map(() => false);
  readonly isAdmin = NAMES.map((_, i) => i === 0);
  readonly projectRoles = new Map<string, Role>();
  readonly organizationRoles = new Map<string, Role>();

  isValid(token: ModelToken): boolean {
    return !token.isRevoked && !this.isDisabled[token.user] && this.nowMs < token.expiresAtMs;
  }

  inOrganization(user: number, name: string): Role | undefined {
    return NAMES[user] === name ? "owner" : this.organizationRoles.get(`${user} ${name}`);
  }

  inProject(user: number, project: ProjectId, organization: string): Role | undefined {
    const own = this.projectRoles.get(`${user} ${project}`);
    const inherited = this.inOrganization(user, organization);
    if (own === undefined || inherited === undefined) return own ?? inherited;
    return RANK[own] >= RANK[inherited] ? own : inherited;
  }

  /** False: the step is refused. */
  mayDisable(user: number): boolean {
    return !this.isAdmin[user] || NAMES.some((_, i) => i !== user && this.isAdmin[i] && !this.isDisabled[i]);
  }

  mayLeave(user: number, name: string): boolean {
    if (NAMES[user] === name) return false;
    if (this.organizationRoles.get(`${user} ${name}`) !== "owner") return true;
    return NAMES.some(
      (_, i) => i !== user && !this.isDisabled[i] && this.inOrganization(i, name) === "owner",
    );
  }
}

class Run {
  readonly #model = new Model();
  readonly #clock = new VirtualClock();
  readonly #directory = mkdtempSync(join(tmpdir(), "mic-accounts-model-"));
  readonly #open = new DisposableStack();
  readonly #processes: readonly SqliteAccounts[];
  readonly #ids: string[] = [];
  /** Those that were handed out while their token was valid, by process and token. */
  readonly #principals = new Map<string, Principal>();

  constructor() {
    this.#processes = [0, 1].map(() => {
      const database = this.#open.use(new AuthDatabase({ file: join(this.#directory, "accounts.db") }));
      const onFailure = (error: unknown) => {
        throw error;
      };
      return this.#open.use(
        new SqliteAccounts({ database, clock: this.#clock, random: systemRandom, onFailure }),
      );
    });
    this.#model.nowMs = this.#clock.nowMs();
  }

  async play(all: readonly Command[]): Promise<void> {
    for (const [i, name] of NAMES.entries()) {
      const made = await this.#processes[0]!.createUser({ name, isSiteAdmin: i === 0 });
      this.#ids.push(made.id);
    }
    for (const { process, step } of all) {
      await this.#take(this.#processes[process]!, step);
      this.#comparePrompt(this.#processes[process]!);
      // Another process looks again after a moment.
      await this.#wait(LOOK_MS);
      this.#compare();
    }
  }

  async #take(accounts: SqliteAccounts, step: Step): Promise<void> {
    const model = this.#model;
    switch (step.kind) {
      case "token": {
        const { user, scope, isSignIn, lifeMs } = step;
        const expiresAtMs = lifeMs === undefined ? Number.POSITIVE_INFINITY : model.nowMs + lifeMs;
        const kind = isSignIn ? "access" : "personal";
        const request = { user: this.#ids[user]!, kind, name: "t", scope } as const;
        const made = this.#attempt(!model.isDisabled[user], () =>
          accounts.createToken(lifeMs === undefined ? request : { ...request, expiresAtMs }),
        );
        if (made === undefined) return;
        const { secret, token } = made;
        model.tokens.push({ secret, id: token.id, user, scope, isSignIn, expiresAtMs, isRevoked: false });
        return;
      }
      case "revoke": {
        const token = model.tokens[step.token % Math.max(1, model.tokens.length)];
        if (token === undefined) return;
        expect(accounts.revokeToken(token.id)).toBe(!token.isRevoked);
        token.isRevoked = true;
        return;
      }
      case "disable": {
        const { user, isDisabled } = step;
        const isChange = model.isDisabled[user] !== isDisabled;
        const isAllowed = !isDisabled || !isChange || model.mayDisable(user);
        this.#attempt(isAllowed, () => accounts.setDisabled(this.#ids[user]!, isDisabled));
        if (!isAllowed) return;
        model.isDisabled[user] = isDisabled;
        for (const token of model.tokens)
          if (token.user === user && token.isSignIn && isDisabled) token.isRevoked = true;
        return;
      }
      case "admin": {
        const { user, isAdmin } = step;
        const isAllowed = isAdmin || !model.isAdmin[user] || model.mayDisable(user);
        this.#attempt(isAllowed, () => accounts.setSiteAdmin(this.#ids[user]!, isAdmin));
        if (isAllowed) model.isAdmin[user] = isAdmin;
        return;
      }
      case "project-role": {
        const project = PROJECTS[step.project]!;
        accounts.setProjectRole(project, this.#ids[step.user]!, step.role);
        set(model.projectRoles, `${step.user} ${project}`, step.role);
        return;
      }
      case "organization-role": {
        const name = ORGANIZATIONS[step.organization]!;
        const isAllowed = step.role === "owner" || model.mayLeave(step.user, name);
        this.#attempt(isAllowed, () => accounts.setOrganizationRole(name, this.#ids[step.user]!, step.role));
        if (isAllowed) set(model.organizationRoles, `${step.user} ${name}`, step.role);
        return;
      }
      case "wait":
        await this.#wait(step.ms);
    }
  }

  async #wait(ms: number): Promise<void> {
    await this.#clock.run(this.#clock.sleep(ms));
    this.#model.nowMs = this.#clock.nowMs();
  }

  /** Undefined when it was refused, as it must be where it is not allowed. */
  #attempt<T>(isAllowed: boolean, work: () => T): T | undefined {
    try {
      const result = work();
      expect(isAllowed).toBe(true);
      return result;
    } catch (error) {
      if (!isMicError(error)) throw error;
      expect(isAllowed, error.message).toBe(false);
      return undefined;
    }
  }

  #compare(): void {
    const model = this.#model;
    for (const [at, accounts] of this.#processes.entries()) {
      for (const token of model.tokens) this.#compareToken(accounts, at, token);
      // What is over has ended once the timer has come by.
      accounts.poll();
      for (const [key, principal] of this.#principals) {
        if (!key.startsWith(`${at} `)) continue;
        const token = model.tokens.find(({ secret }) => key.endsWith(secret))!;
        const isSame = model.isValid(token) && principal.isSiteAdmin === model.isAdmin[token.user];
        expect(principal.ended.aborted).toBe(!isSame);
        if (!isSame) this.#principals.delete(key);
      }
      for (const [user, id] of this.#ids.entries()) {
        for (const name of ORGANIZATIONS) {
          expect(accounts.roleInOrganization(id, name)).toBe(model.inOrganization(user, name));
          for (const project of PROJECTS) {
            expect(accounts.roleIn(id, project, name)).toBe(model.inProject(user, project, name));
          }
        }
      }
    }
  }

  /** What a process has done itself is in force there at once. */
  #comparePrompt(accounts: SqliteAccounts): void {
    const model = this.#model;
    for (const token of model.tokens) expect(isAuthentic(accounts, token.secret)).toBe(model.isValid(token));
    for (const [user, id] of this.#ids.entries()) {
      for (const name of ORGANIZATIONS) {
        expect(accounts.roleInOrganization(id, name)).toBe(model.inOrganization(user, name));
      }
    }
  }

  #compareToken(accounts: SqliteAccounts, at: number, token: ModelToken): void {
    const model = this.#model;
    const key = `${at} ${token.secret}`;
    let principal: Principal | undefined;
    try {
      principal = accounts.authenticate(token.secret);
    } catch (error) {
      expect(isMicError(error, "unauthenticated")).toBe(true);
    }
    expect(principal !== undefined).toBe(model.isValid(token));
    if (principal === undefined) return;
    expect(principal).toMatchObject({
      account: NAMES[token.user],
      userId: this.#ids[token.user],
      scope: token.scope,
      isSiteAdmin: model.isAdmin[token.user],
    });
    const before = this.#principals.get(key);
    if (before !== undefined && before.isSiteAdmin === principal.isSiteAdmin && !before.ended.aborted) {
      expect(principal).toBe(before);
    }
    if (before === undefined) this.#principals.set(key, principal);
  }

  [Symbol.dispose](): void {
    this.#open.dispose();
    rmSync(this.#directory, { recursive: true });
  }
}

function isAuthentic(accounts: SqliteAccounts, secret: string): boolean {
  try {
    accounts.authenticate(secret);
    return true;
  } catch (error) {
    if (isMicError(error, "unauthenticated")) return false;
    throw error;
  }
}

function set(roles: Map<string, Role>, key: string, role: Role | undefined): void {
  if (role === undefined) roles.delete(key);
  else roles.set(key, role);
}

test("two processes with one database agree with the model after every step", async () => {
  const property = fc.asyncProperty(commands, async (all) => {
    using run = new Run();
    await run.play(all);
  });
  await fc.assert(property, { numRuns: RUNS });
});
