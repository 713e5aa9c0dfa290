/**
 * Roles in projects and organizations, and how those of new ones come into being. The name of a user is an
 * organization's that nobody else can make, and that it owns for good once it has the role. What was asked is
 * remembered until `forget`, which `SqliteAccounts` calls when any role or user changed.
 */
import { MicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import { parseOrgName } from "../../core/base/project-name.ts";
import type { Creation, Member } from "./accounts.ts";
import type { AuthDatabase } from "./database/auth-database.ts";
import type { Role, UserId } from "./principal.ts";
import { noSuchUser, toUser, USER_COLUMNS, type UserRow } from "./users.ts";

const RANK: Readonly<Record<Role, number>> = { read: 1, write: 2, owner: 3 };
const REMEMBERED_MAX = 50_000;
/** Whoever has not asked again by then never will. */
const CREATION_KEPT_MS = 86_400_000;

type MemberRow = UserRow & { readonly role: Role };

export class Members {
  readonly #database: AuthDatabase;
  readonly #known = new Map<string, Role | undefined>();

  constructor(database: AuthDatabase) {
    this.#database = database;
  }

  forget(): void {
    this.#known.clear();
  }

  roleInProject(user: UserId, project: ProjectId, organization: string): Role | undefined {
    return this.#remembered(`${user}${project}${organization}`, () =>
      greater(this.#projectRole(user, project), this.roleInOrganization(user, organization)),
    );
  }

  roleInOrganization(user: UserId, organization: string): Role | undefined {
    return this.#remembered(`${user}/${organization}`, () => {
      const row = this.#database
        .prepare("SELECT role FROM members WHERE organization = ? AND user_id = ?")
        .get(organization, user) as { readonly role: Role } | undefined;
      return row?.role;
    });
  }

  /** By name. */
  listProject(project: ProjectId): readonly Member[] {
    const rows = this.#database
      .prepare(
        `SELECT ${USER_COLUMNS}, p.role FROM permissions p JOIN users u ON u.id = p.user_id
         WHERE p.project_id = ? ORDER BY u.name`,
      )
      .all(project) as MemberRow[];
    return rows.map(toMember);
  }

  /** By name. */
  listOrganization(organization: string): readonly Member[] {
    const rows = this.#database
      .prepare(
        `SELECT ${USER_COLUMNS}, m.role FROM members m JOIN users u ON u.id = m.user_id
         WHERE m.organization = ? ORDER BY u.name`,
      )
      .all(organization) as MemberRow[];
    return rows.map(toMember);
  }

  /** Errors: `not-found` for the user. */
  setProject(project: ProjectId, user: UserId, role: Role | undefined, nowMs: number): void {
    this.#database.write(() => {
      this.#nameOf(user);
      if (role === undefined) {
        this.#database
          .prepare("DELETE FROM permissions WHERE project_id = ? AND user_id = ?")
          .run(project, user);
        return;
      }
      this.#database
        .prepare(
          `INSERT INTO permissions (project_id, user_id, role, created_at) VALUES (?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET role = excluded.role`,
        )
        .run(project, user, role, nowMs);
    });
  }

  /** Errors: `not-found` for the user, `usage`. */
  setOrganization(organization: string, user: UserId, role: Role | undefined, nowMs: number): void {
    parseOrgName(organization);
    this.#database.write(() => {
      if (role !== "owner") this.#keepOwner(organization, user);
      if (role === undefined) {
        this.releaseOrganization(organization, user);
        return;
      }
      this.#nameOf(user);
      this.#database
        .prepare(
          `INSERT INTO members (organization, user_id, role, created_at) VALUES (?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET role = excluded.role`,
        )
        .run(organization, user, role, nowMs);
    });
  }

  /** Errors: `not-found` for the user, `usage`. */
  claimOrganization(organization: string, user: UserId, nowMs: number): boolean {
    return this.#database.write(() => {
      if (this.isNameTaken(organization, user)) return false;
      this.setOrganization(organization, user, "owner", nowMs);
      return true;
    });
  }

  releaseOrganization(organization: string, user: UserId): void {
    this.#database.write(() => {
      this.#database
        .prepare("DELETE FROM members WHERE organization = ? AND user_id = ?")
        .run(organization, user);
    });
  }

  isNameTaken(organization: string, user: UserId | undefined): boolean {
    const row = this.#database
      .prepare(
        `SELECT EXISTS (SELECT 1 FROM users WHERE name = @organization AND id <> @user)
           OR EXISTS (SELECT 1 FROM members WHERE organization = @organization AND user_id <> @user) AS taken`,
      )
      .get({ organization, user: user ?? "" }) as { readonly taken: number };
    return row.taken === 1;
  }

  /** Errors: `not-found` for the user. */
  startCreation(project: ProjectId, name: string, user: UserId, nowMs: number): boolean {
    return this.#database.write(() => {
      this.#nameOf(user);
      const others = this.#database
        .prepare(
          `SELECT 1 FROM creations WHERE project_id = @project AND user_id <> @user
           UNION ALL SELECT 1 FROM permissions WHERE project_id = @project AND NOT EXISTS (
             SELECT 1 FROM permissions WHERE project_id = @project AND user_id = @user AND role = 'owner')`,
        )
        .get({ project, user });
      if (others !== undefined) return false;
      this.#database.prepare("DELETE FROM creations WHERE started_at < ?").run(nowMs - CREATION_KEPT_MS);
      this.#database
        .prepare(
          `INSERT INTO creations (project_id, name, user_id, started_at) VALUES (?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET name = excluded.name, started_at = excluded.started_at`,
        )
        .run(project, name, user, Math.floor(nowMs));
      return true;
    });
  }

  findCreation(project: ProjectId): Creation | undefined {
    const row = this.#database
      .prepare("SELECT name, user_id, started_at FROM creations WHERE project_id = ?")
      .get(project) as
      | { readonly name: string; readonly user_id: UserId; readonly started_at: number }
      | undefined;
    if (row === undefined) return undefined;
    return { project, name: row.name, user: row.user_id, startedAtMs: row.started_at };
  }

  endCreation(project: ProjectId, user: UserId, isMade: boolean, nowMs: number): void {
    this.#database.write(() => {
      const { changes } = this.#database
        .prepare("DELETE FROM creations WHERE project_id = ? AND user_id = ?")
        .run(project, user);
      if (isMade && changes > 0) this.setProject(project, user, "owner", nowMs);
    });
  }

  #projectRole(user: UserId, project: ProjectId): Role | undefined {
    const row = this.#database
      .prepare("SELECT role FROM permissions WHERE project_id = ? AND user_id = ?")
      .get(project, user) as { readonly role: Role } | undefined;
    return row?.role;
  }

  /** Before the role of `user` becomes less than owner. Who is disabled does not count as an owner who stays. */
  #keepOwner(organization: string, user: UserId): void {
    if (this.#nameOf(user) === organization && this.roleInOrganization(user, organization) === "owner") {
      throw new MicError("usage", `${organization} belongs to the user of that name`);
    }
    const owners = this.#database
      .prepare(
        `SELECT u.id FROM members m JOIN users u ON u.id = m.user_id
         WHERE m.organization = @organization AND m.role = 'owner'
           AND (u.disabled_at IS NULL OR u.id = @user)`,
      )
      .all({ organization, user }) as { readonly id: string }[];
    if (owners.length !== 1 || owners[0]!.id !== user) return;
    throw new MicError("usage", `${organization} would have no owner left`, {
      hint: "make another member an owner first",
    });
  }

  #nameOf(user: UserId): string {
    const row = this.#database.prepare("SELECT name FROM users WHERE id = ?").get(user) as
      | { readonly name: string }
      | undefined;
    if (row === undefined) throw noSuchUser(user);
    return row.name;
  }

  #remembered(key: string, read: () => Role | undefined): Role | undefined {
    const known = this.#known.get(key);
    if (known !== undefined || this.#known.has(key)) return known;
    const role = read();
    // What a transaction sees may be taken back.
    if (this.#database.sql.inTransaction) return role;
    if (this.#known.size >= REMEMBERED_MAX) this.#known.clear();
    this.#known.set(key, role);
    return role;
  }
}

function greater(a: Role | undefined, b: Role | undefined): Role | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return RANK[a] >= RANK[b] ? a : b;
}

function toMember(row: MemberRow): Member {
  return { user: toUser(row), role: row.role };
}
