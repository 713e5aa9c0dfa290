/** The table of users. */
import { bytesToHex } from "../../core/base/bytes.ts";
import { MicError } from "../../core/base/errors.ts";
import { parseOrgName } from "../../core/base/project-name.ts";
import type { Random } from "../../core/base/random.ts";
import type { CreateUser, User } from "./accounts.ts";
import type { AuthDatabase } from "./database/auth-database.ts";
import type { UserId } from "./principal.ts";

const EMAIL_CHARACTERS_MAX = 254;
/** What could be an address; whether it is one only a message to it would tell. */
const EMAIL = /^[^\s@<>()",:;\\[\]\p{C}]+@[^\s@<>()",:;\\[\]\p{C}]+$/u;

export const USER_COLUMNS =
  "u.id, u.name, u.email, u.password_hash, u.is_site_admin, u.created_at, u.disabled_at";

export interface UserRow {
  readonly id: string;
  readonly name: string;
  readonly email: string | null;
  readonly password_hash: string | null;
  readonly is_site_admin: number;
  readonly created_at: number;
  readonly disabled_at: number | null;
}

export class Users {
  readonly #database: AuthDatabase;
  readonly #random: Random;

  constructor(database: AuthDatabase, random: Random) {
    this.#database = database;
    this.#random = random;
  }

  /** Errors: `usage`. */
  check({ name, email }: CreateUser): void {
    parseOrgName(name);
    if (email !== undefined && (email.length > EMAIL_CHARACTERS_MAX || !EMAIL.test(email))) {
      throw new MicError("usage", `${JSON.stringify(email.slice(0, 200))} is not an e-mail address`);
    }
  }

  /** Errors: `already-exists`, where the name is an organization's too: its user would own it. */
  insert({ name, email, isSiteAdmin }: CreateUser, passwordHash: string | undefined, nowMs: number): User {
    const id = bytesToHex(this.#random.bytes(16));
    this.#database.write(() => {
      if (this.byLogin(name) !== undefined) throw taken(`the name ${name}`);
      const isOrganization = this.#database.prepare("SELECT 1 FROM members WHERE organization = ?").get(name);
      if (isOrganization !== undefined) throw taken(`the name ${name}`);
      if (email !== undefined && this.byLogin(email) !== undefined) throw taken(`the address ${email}`);
      this.#database
        .prepare(
          "INSERT INTO users (id, name, email, password_hash, is_site_admin, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .run(id, name, email ?? null, passwordHash ?? null, isSiteAdmin === true ? 1 : 0, nowMs);
    });
    return toUser(this.byId(id)!);
  }

  byId(id: UserId): UserRow | undefined {
    return this.#find("u.id = ?", id);
  }

  /** A name has no `@`, an address has one. */
  byLogin(login: string): UserRow | undefined {
    return this.#find(login.includes("@") ? "u.email = ?" : "u.name = ?", login);
  }

  find(what: string): UserRow | undefined {
    return this.byLogin(what) ?? this.byId(what);
  }

  /** In the order of their names. */
  list(after: string | undefined, limit: number): readonly UserRow[] {
    return this.#database
      .prepare(`SELECT ${USER_COLUMNS} FROM users u WHERE u.name > ? ORDER BY u.name LIMIT ?`)
      .all(after ?? "", limit) as UserRow[];
  }

  /** Errors: `not-found`; `usage` where no administrator would be left. */
  setDisabled(user: UserId, isDisabled: boolean, nowMs: number): void {
    this.#database.write(() => {
      const row = this.#existing(user);
      if ((row.disabled_at !== null) === isDisabled) return;
      if (isDisabled) this.#keepAdministrator(row);
      this.#database
        .prepare("UPDATE users SET disabled_at = ? WHERE id = ?")
        .run(isDisabled ? nowMs : null, user);
    });
  }

  /** Errors: as of `setDisabled`. */
  setSiteAdmin(user: UserId, isSiteAdmin: boolean): void {
    this.#database.write(() => {
      const row = this.#existing(user);
      if ((row.is_site_admin === 1) === isSiteAdmin) return;
      if (!isSiteAdmin) this.#keepAdministrator(row);
      this.#database
        .prepare("UPDATE users SET is_site_admin = ? WHERE id = ?")
        .run(isSiteAdmin ? 1 : 0, user);
    });
  }

  /** Errors: `not-found`. */
  setPasswordHash(user: UserId, passwordHash: string): void {
    this.#database.write(() => {
      this.#existing(user);
      this.#database.prepare("UPDATE users SET password_hash = ? WHERE id = ?").run(passwordHash, user);
    });
  }

  /** The same password in another form: nothing when it was changed meanwhile. */
  replacePasswordHash(user: UserId, before: string, after: string): void {
    this.#database.write(() => {
      this.#database
        .prepare("UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?")
        .run(after, user, before);
    });
  }

  #find(where: "u.id = ?" | "u.email = ?" | "u.name = ?", value: string): UserRow | undefined {
    return this.#database.prepare(`SELECT ${USER_COLUMNS} FROM users u WHERE ${where}`).get(value) as
      | UserRow
      | undefined;
  }

  #existing(user: UserId): UserRow {
    const row = this.byId(user);
    if (row === undefined) throw noSuchUser(user);
    return row;
  }

  #keepAdministrator({ id, is_site_admin }: UserRow): void {
    if (is_site_admin === 0) return;
    const another = this.#database
      .prepare("SELECT 1 FROM users WHERE is_site_admin = 1 AND disabled_at IS NULL AND id <> ?")
      .get(id);
    if (another !== undefined) return;
    throw new MicError("usage", "the site would have no administrator left", {
      hint: "make another user an administrator first",
    });
  }
}

export function toUser(row: UserRow): User {
  return {
    id: row.id,
    name: row.name,
    email: row.email ?? undefined,
    isSiteAdmin: row.is_site_admin === 1,
    hasPassword: row.password_hash !== null,
    createdAtMs: row.created_at,
    disabledAtMs: row.disabled_at ?? undefined,
  };
}

export function noSuchUser(what: string): MicError {
  return new MicError("not-found", `there is no user ${JSON.stringify(what.slice(0, 200))}`);
}

function taken(what: string): MicError {
  return new MicError("already-exists", `${what} is taken`, { hint: "choose another one" });
}
