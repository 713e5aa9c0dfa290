/**
 * Users and the audit log in a data directory, for `mic admin … --data DIR`: before the first start, and for an
 * administrator who is locked out. The server may be running: it sees each change at its next call. Whoever can write
 * the directory may do everything, so nothing is asked.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { isMicError, MicError } from "../../core/base/errors.ts";
import { systemClock, systemRandom } from "../../core/base/system.ts";
import { isForgeDirectory, openDirectoryForge } from "../../core/forge/forge-directory.ts";
import type { ChangeUser, CreateUser, Token, User } from "./accounts.ts";
import { AuthDatabase } from "./database/auth-database.ts";
import { accountsFile } from "./owner-token.ts";
import { NOBODY } from "./principal.ts";
import { refuseCopy } from "./replica/replica-state.ts";
import { SqliteAccounts } from "./sqlite-accounts.ts";
import { SqliteAudit } from "./sqlite-audit.ts";
import { landingLogFile, SqliteLandingLog } from "./sqlite-landing-log.ts";

const USERS_PER_PAGE = 100;
/** What the audit log has instead of a network address. */
const ADDRESS = "local";

export interface UserDocument {
  readonly id: string;
  readonly name: string;
  readonly email: string | null;
  readonly siteAdmin: boolean;
  readonly disabled: boolean;
  readonly createdAt: string;
}

export interface OfflineAuditFilter {
  readonly log?: "landings";
  readonly account?: string;
  readonly action?: string;
  readonly target?: string;
  /** RFC 3339. */
  readonly since?: string;
  readonly until?: string;
  readonly before?: string;
  readonly limit: number;
}

/** `create`: an empty database where there is none. Errors: `not-found`, and those of `AuthDatabase`. */
export async function openAccountAdmin(options: {
  readonly dataDirectory: string;
  readonly create: boolean;
}): Promise<OfflineAccountAdmin> {
  const { dataDirectory, create } = options;
  const file = accountsFile(dataDirectory);
  if (!create && !existsSync(file)) {
    throw new MicError("not-found", `there are no accounts in ${dataDirectory}`, {
      hint: "name the directory that `mic serve --data` has",
    });
  }
  return new OfflineAccountAdmin(dataDirectory, new AuthDatabase({ file }));
}

export class OfflineAccountAdmin implements AsyncDisposable {
  readonly where: string;
  readonly #database: AuthDatabase;
  readonly #accounts: SqliteAccounts;
  readonly #audit: SqliteAudit;
  readonly #landings: SqliteLandingLog | undefined;

  constructor(where: string, database: AuthDatabase) {
    this.where = where;
    this.#database = database;
    this.#accounts = new SqliteAccounts({ database, clock: systemClock, random: systemRandom });
    const file = landingLogFile(database.file);
    this.#landings = existsSync(file) ? new SqliteLandingLog({ file, clock: systemClock }) : undefined;
    this.#audit = new SqliteAudit({ database, clock: systemClock, landings: this.#landings });
  }

  /**
   * A user owns the organization of its name: where the store is in the directory, there must be none. Where it is in
   * a bucket nobody can tell here, and the user owns it once it has made it. Errors: `already-exists`, `usage`.
   */
  async createUser(request: Omit<CreateUser, "isSiteAdmin" | "ownsName"> & { readonly siteAdmin?: boolean }) {
    refuseCopy(path.dirname(this.#database.file));
    const { siteAdmin, ...user } = request;
    const ownsName = isForgeDirectory(this.where);
    if (ownsName) await refuseOrganization(this.where, user.name);
    const created = await this.#accounts.createUser({ ...user, isSiteAdmin: siteAdmin === true, ownsName });
    this.#record("user.created", created);
    return documentOf(created);
  }

  async listUsers(after: string | undefined) {
    const page = { limit: USERS_PER_PAGE, ...(after === undefined ? {} : { after }) };
    const items = this.#accounts.listUsers(page).map(documentOf);
    return { items, next: items.length === USERS_PER_PAGE ? items.at(-1)?.name : undefined };
  }

  /** Errors: `not-found`, `usage`. */
  async updateUser(
    what: string,
    change: Pick<ChangeUser, "revokeTokens"> & {
      readonly disabled?: boolean;
      readonly siteAdmin?: boolean;
      readonly password?: string;
    },
  ): Promise<UserDocument> {
    refuseCopy(path.dirname(this.#database.file));
    const user = this.#existingUser(what);
    await this.#accounts.changeUser(user.id, change);
    const { disabled, siteAdmin, password, revokeTokens } = change;
    if (revokeTokens === true) this.#record("tokens.revoked", user);
    if (password !== undefined) this.#record("password.reset", user);
    if (siteAdmin !== undefined) this.#record(siteAdmin ? "user.promoted" : "user.demoted", user);
    if (disabled !== undefined) this.#record(disabled ? "user.disabled" : "user.enabled", user);
    return documentOf(this.#accounts.findUser(user.id)!);
  }

  /** Errors: `not-found`. */
  async listUserTokens(what: string) {
    const items = this.#accounts.listTokens(this.#existingUser(what).id).map(tokenDocument);
    return { items, next: undefined };
  }

  /** Errors: `not-found`. */
  async revokeUserToken(what: string, id: string): Promise<void> {
    refuseCopy(path.dirname(this.#database.file));
    const user = this.#existingUser(what);
    const token = this.#accounts.getToken(id);
    if (token === undefined || token.user !== user.id) {
      throw new MicError("not-found", `${user.name} has no token ${JSON.stringify(id.slice(0, 100))}`, {
        hint: `see: mic admin token list --user ${user.name}`,
      });
    }
    this.#accounts.revokeToken(id);
    const detail = { name: token.name, user: user.name };
    this.#audit.record({
      principal: NOBODY,
      address: ADDRESS,
      action: "token.revoked",
      target: `token:${id}`,
      detail,
    });
  }

  /** `before`: RFC 3339. Returns how many records were removed. */
  async pruneAudit(before: string): Promise<number> {
    refuseCopy(path.dirname(this.#database.file));
    const removed = await this.#audit.prune(Date.parse(before));
    const detail = { before, removed };
    this.#audit.record({
      principal: NOBODY,
      address: ADDRESS,
      action: "audit.pruned",
      target: "audit",
      detail,
    });
    return removed;
  }

  async listAudit({ before, since, until, limit, ...filter }: OfflineAuditFilter) {
    const { records, next } = this.#audit.list({
      ...filter,
      ...(before === undefined ? {} : { before }),
      ...(since === undefined ? {} : { sinceMs: Date.parse(since) }),
      ...(until === undefined ? {} : { untilMs: Date.parse(until) }),
      limit,
    });
    const items = records.map(({ log, id, atMs, account, tokenId, address, action, target, detail }) => ({
      log,
      id,
      at: new Date(atMs).toISOString(),
      account,
      token: tokenId ?? null,
      address,
      action,
      target,
      detail,
    }));
    return { items, next };
  }

  #existingUser(what: string): User {
    const user = this.#accounts.findUser(what);
    if (user !== undefined) return user;
    throw new MicError("not-found", `there is no user ${JSON.stringify(what.slice(0, 200))}`, {
      hint: "see `mic admin user list`",
    });
  }

  #record(action: string, { name }: User): void {
    this.#audit.record({ principal: NOBODY, address: ADDRESS, action, target: `user:${name}` });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#accounts[Symbol.dispose]();
    this.#landings?.[Symbol.dispose]();
    this.#database[Symbol.dispose]();
  }
}

function tokenDocument(token: Token) {
  const { id, kind, name, scope, onlyProject, createdAtMs, expiresAtMs, lastUsedAtMs } = token;
  return {
    id,
    kind,
    name,
    scope,
    project: onlyProject ?? null,
    createdAt: timeOf(createdAtMs),
    expiresAt: timeOf(expiresAtMs),
    lastUsedAt: timeOf(lastUsedAtMs),
  };
}

function timeOf(timeMs: number | undefined): string | null {
  return timeMs === undefined ? null : new Date(timeMs).toISOString();
}

async function refuseOrganization(directory: string, name: string): Promise<void> {
  const ports = { clock: systemClock, random: systemRandom };
  await using forge = await openDirectoryForge(directory, { ...ports, create: false });
  try {
    await forge.getOrganization(name);
  } catch (error) {
    if (isMicError(error, "not-found")) return;
    throw error;
  }
  throw new MicError("already-exists", `there is an organization ${name}`, { hint: "choose another name" });
}

function documentOf({ id, name, email, isSiteAdmin, createdAtMs, disabledAtMs }: User): UserDocument {
  return {
    id,
    name,
    email: email ?? null,
    siteAdmin: isSiteAdmin,
    disabled: disabledAtMs !== undefined,
    createdAt: new Date(createdAtMs).toISOString(),
  };
}
