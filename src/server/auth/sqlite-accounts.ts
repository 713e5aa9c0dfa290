/**
 * `Accounts` over the auth database. What a token stands for and the roles of users are remembered until the database
 * counts a change of them, whoever makes it: this process (at once), or another one and the primary that this server
 * follows (within LOOK_MS for new calls, and within POLL_MS for those that are running).
 */
import { timingSafeEqual } from "node:crypto";
import type { Clock } from "../../core/base/clock.ts";
import { MicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import type { Random } from "../../core/base/random.ts";
import type {
  Accounts,
  ChangeUser,
  CreateUser,
  Creation,
  Member,
  NewToken,
  Token,
  TokenKind,
  User,
} from "./accounts.ts";
import type { AuthDatabase } from "./database/auth-database.ts";
import { Members } from "./members.ts";
import { checkPasswordSize, PasswordHasher } from "./password.ts";
import { checkNewPassword } from "./password-rules.ts";
import type { Principal, Role, UserId } from "./principal.ts";
import { RememberedPrincipals, type Standing } from "./remembered-principals.ts";
import { readSetting } from "./settings.ts";
import { SECRET_CHARACTERS_MAX, secretDigest } from "./token-secret.ts";
import { TokenUses } from "./token-uses.ts";
import { Tokens } from "./tokens.ts";
import { noSuchUser, toUser, Users } from "./users.ts";

const POLL_MS = 250;
/** Asking the database whether another process has changed it costs as much as everything else of a call. */
const LOOK_MS = 20;
const REMOVE_EVERY_MS = 3_600_000;

export interface SqliteAccountsOptions {
  /** Closed by whoever opened it, after these accounts. */
  readonly database: AuthDatabase;
  readonly clock: Clock;
  readonly random: Random;
  /** Stands for the user of the first start, instead of the token that was made then. */
  readonly ownerToken?: string;
  /** Tests take one that is cheap. */
  readonly passwords?: PasswordHasher;
  /** What could not be written in passing: when a token was last used. */
  readonly onFailure?: (error: unknown) => void;
}

export class SqliteAccounts implements Accounts, Disposable {
  readonly #database: AuthDatabase;
  readonly #clock: Clock;
  readonly #passwords: PasswordHasher;
  readonly #users: Users;
  readonly #tokens: Tokens;
  readonly #members: Members;
  readonly #principals: RememberedPrincipals;
  readonly #uses: TokenUses;
  readonly #ownerDigest: Uint8Array | undefined;
  readonly #onFailure: (error: unknown) => void;
  readonly #stopListening: () => void;
  #timer: NodeJS.Timeout | undefined;
  #removedAtMs = 0;
  readonly #rolesListeners = new Set<() => void>();
  #version = "";
  #generations = "";
  #roles = -1;
  #lookedAtMs = 0;

  constructor({ database, clock, random, ownerToken, passwords, onFailure }: SqliteAccountsOptions) {
    this.#database = database;
    this.#clock = clock;
    this.#passwords = passwords ?? new PasswordHasher({ random });
    this.#users = new Users(database, random);
    this.#tokens = new Tokens(database, random);
    this.#members = new Members(database);
    this.#principals = new RememberedPrincipals((digest, nowMs) => this.#standing(digest, nowMs));
    this.#uses = new TokenUses(database, this.#tokens, clock.nowMs());
    this.#ownerDigest = ownerToken === undefined ? undefined : secretDigest(ownerToken);
    this.#onFailure = onFailure ?? (() => undefined);
    this.#stopListening = database.onWrite(() => this.#refresh());
  }

  authenticate(token: string): Principal {
    // One that is too long is wrong; it takes the same path.
    const digest = secretDigest(token.length > SECRET_CHARACTERS_MAX ? "" : token);
    const nowMs = this.#clock.nowMs();
    this.#look(nowMs);
    const principal = this.#principals.get(digest, nowMs);
    if (principal === undefined) {
      throw new MicError("unauthenticated", "the token is not valid here", {
        hint: "it may have expired or been revoked; sign in: mic auth login",
      });
    }
    if (principal.tokenId !== undefined) this.#uses.used(principal.tokenId, nowMs);
    this.#startTimer();
    return principal;
  }

  async createUser(request: CreateUser): Promise<User> {
    const { password } = request;
    this.#users.check(request);
    if (password !== undefined) checkNewPassword(password, request);
    const passwordHash = password === undefined ? undefined : await this.#passwords.hash(password);
    const nowMs = this.#clock.nowMs();
    return this.#database.write(() => {
      const user = this.#users.insert(request, passwordHash, nowMs);
      if (request.ownsName !== false) this.#members.claimOrganization(user.name, user.id, nowMs);
      return user;
    });
  }

  findUser(what: string): User | undefined {
    const row = this.#users.find(what);
    return row === undefined ? undefined : toUser(row);
  }

  listUsers({ after, limit }: { readonly after?: string; readonly limit: number }): readonly User[] {
    return this.#users.list(after, limit).map(toUser);
  }

  /** Disabling ends the user's sign-ins for good; personal tokens are valid again once the user is enabled. */
  setDisabled(user: UserId, isDisabled: boolean): void {
    const nowMs = this.#clock.nowMs();
    this.#database.write(() => {
      this.#users.setDisabled(user, isDisabled, nowMs);
      if (isDisabled) this.#tokens.revokeSignIns(user, nowMs);
    });
  }

  setSiteAdmin(user: UserId, isSiteAdmin: boolean): void {
    this.#users.setSiteAdmin(user, isSiteAdmin);
  }

  async setPassword(user: UserId, password: string): Promise<void> {
    await this.changeUser(user, { password });
  }

  async changeUser(user: UserId, { disabled, siteAdmin, password, revokeTokens }: ChangeUser): Promise<void> {
    const row = this.#users.byId(user);
    if (row === undefined) throw noSuchUser(user);
    if (password !== undefined) {
      checkNewPassword(password, { name: row.name, ...(row.email === null ? {} : { email: row.email }) });
    }
    const passwordHash = password === undefined ? undefined : await this.#passwords.hash(password);
    this.#database.write(() => {
      if (passwordHash !== undefined) {
        this.#users.setPasswordHash(user, passwordHash);
        this.#tokens.revokeSignIns(user, this.#clock.nowMs());
      }
      if (revokeTokens === true) this.#tokens.revokeAll(user, this.#clock.nowMs());
      if (siteAdmin !== undefined) this.setSiteAdmin(user, siteAdmin);
      if (disabled !== undefined) this.setDisabled(user, disabled);
    });
  }

  async checkPassword(login: string, password: string): Promise<User> {
    checkPasswordSize(password);
    const row = this.#users.byLogin(login);
    const stored = row?.password_hash ?? undefined;
    const isRight = await this.#passwords.verify(password, stored);
    // Again: it may have been disabled, or its password changed, while the hash was made.
    const now = isRight ? this.#users.byLogin(login) : undefined;
    if (now === undefined || now.password_hash !== stored || now.disabled_at !== null) {
      throw new MicError("unauthenticated", "the name or the password is wrong");
    }
    if (stored !== undefined && !this.#database.isReadOnly && this.#passwords.isOutdated(stored)) {
      this.#users.replacePasswordHash(now.id, stored, await this.#passwords.hash(password));
    }
    return toUser(now);
  }

  createToken(request: NewToken): { readonly token: Token; readonly secret: string } {
    return this.#tokens.create(request, this.#clock.nowMs());
  }

  findToken(secret: string, kind: TokenKind): Token | undefined {
    if (secret.length > SECRET_CHARACTERS_MAX) return undefined;
    const token = this.#tokens.findValid(secret, kind, this.#clock.nowMs());
    return token === undefined ? undefined : this.#withLastUse(token);
  }

  getToken(id: string): Token | undefined {
    const token = this.#tokens.get(id);
    return token === undefined ? undefined : this.#withLastUse(token);
  }

  listTokens(user: UserId): readonly Token[] {
    return this.#tokens.list(user, this.#clock.nowMs()).map((token) => this.#withLastUse(token));
  }

  countPersonalTokens(user: UserId): number {
    return this.#tokens.countPersonal(user, this.#clock.nowMs());
  }

  revokeToken(id: string): boolean {
    return this.#tokens.revoke(id, this.#clock.nowMs());
  }

  revokeFamily(family: string): void {
    this.#tokens.revokeFamily(family, this.#clock.nowMs());
  }

  roleIn(user: UserId, project: ProjectId, organization: string): Role | undefined {
    this.#look(this.#clock.nowMs());
    return this.#members.roleInProject(user, project, organization);
  }

  roleInOrganization(user: UserId, organization: string): Role | undefined {
    this.#look(this.#clock.nowMs());
    return this.#members.roleInOrganization(user, organization);
  }

  onRolesChanged(listener: () => void): () => void {
    this.#rolesListeners.add(listener);
    this.#startTimer();
    return () => void this.#rolesListeners.delete(listener);
  }

  listProjectMembers(project: ProjectId): readonly Member[] {
    return this.#members.listProject(project);
  }

  listOrganizationMembers(organization: string): readonly Member[] {
    return this.#members.listOrganization(organization);
  }

  setProjectRole(project: ProjectId, user: UserId, role: Role | undefined): void {
    this.#members.setProject(project, user, role, this.#clock.nowMs());
  }

  setOrganizationRole(organization: string, user: UserId, role: Role | undefined): void {
    this.#members.setOrganization(organization, user, role, this.#clock.nowMs());
  }

  claimOrganization(organization: string, user: UserId): boolean {
    return this.#members.claimOrganization(organization, user, this.#clock.nowMs());
  }

  releaseOrganization(organization: string, user: UserId): void {
    this.#members.releaseOrganization(organization, user);
  }

  isNameTaken(organization: string, user?: UserId): boolean {
    return this.#members.isNameTaken(organization, user);
  }

  startCreation(project: ProjectId, name: string, user: UserId): boolean {
    return this.#members.startCreation(project, name, user, this.#clock.nowMs());
  }

  findCreation(project: ProjectId): Creation | undefined {
    return this.#members.findCreation(project);
  }

  endCreation(project: ProjectId, user: UserId, isMade: boolean): void {
    this.#members.endCreation(project, user, isMade, this.#clock.nowMs());
  }

  /** What the timer does: ends what has expired or was revoked elsewhere, and writes what is due. */
  poll(): void {
    try {
      this.#refresh();
      const nowMs = this.#clock.nowMs();
      this.#principals.expire(nowMs);
      this.#uses.writeWhenDue(nowMs);
      if (this.#database.isReadOnly || Math.abs(nowMs - this.#removedAtMs) < REMOVE_EVERY_MS) return;
      this.#removedAtMs = nowMs;
      this.#tokens.removeOld(nowMs);
    } catch (error) {
      // The next poll is soon; calls that ask the database themselves get its errors.
      this.#onFailure(error);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#stopListening();
    try {
      this.#uses.writeAll();
    } catch (error) {
      this.#onFailure(error);
    }
  }

  #startTimer(): void {
    this.#timer ??= setInterval(() => this.poll(), POLL_MS).unref();
  }

  /** Own writes are known at once, those of other processes this much later. */
  #look(nowMs: number): void {
    if (Math.abs(nowMs - this.#lookedAtMs) < LOOK_MS) return;
    this.#lookedAtMs = nowMs;
    this.#refresh();
  }

  /** Costs 2 µs as long as nobody writes. */
  #refresh(): void {
    const version = this.#database.version();
    if (version === this.#version) return;
    const { tokens, roles } = this.#database.prepare("SELECT tokens, roles FROM generations").get() as {
      readonly tokens: number;
      readonly roles: number;
    };
    this.#version = version;
    const generations = `${tokens}.${roles}.${this.#database.replacements}`;
    if (generations === this.#generations) return;
    this.#generations = generations;
    this.#members.forget();
    this.#principals.revalidate(this.#clock.nowMs());
    if (roles === this.#roles) return;
    this.#roles = roles;
    for (const listener of [...this.#rolesListeners]) listener();
  }

  #standing(digest: Uint8Array, nowMs: number): Standing | undefined {
    // Both are asked, so that every wrong token takes the same time.
    const row = this.#tokens.findBearer(digest, nowMs);
    if (this.#ownerDigest !== undefined && timingSafeEqual(digest, this.#ownerDigest))
      return this.#ownerStanding();
    if (row === undefined) return undefined;
    if (this.#ownerDigest !== undefined && row.id === readSetting(this.#database, "owner-token"))
      return undefined;
    if (row.issued_by !== null && !this.#database.isReadOnly) this.#confirm(row.issued_by, nowMs);
    return {
      account: row.account,
      userId: row.user_id,
      isSiteAdmin: row.is_site_admin === 1,
      scope: row.scope,
      onlyProject: (row.project_id ?? undefined) as ProjectId | undefined,
      tokenId: row.id,
      expiresAtMs: row.expires_at ?? Number.POSITIVE_INFINITY,
    };
  }

  #ownerStanding(): Standing | undefined {
    const id = readSetting(this.#database, "owner");
    const owner = id === undefined ? undefined : this.#users.byId(id);
    if (owner === undefined || owner.disabled_at !== null) return undefined;
    return {
      account: owner.name,
      userId: owner.id,
      isSiteAdmin: owner.is_site_admin === 1,
      scope: "admin",
      onlyProject: undefined,
      tokenId: undefined,
      expiresAtMs: Number.POSITIVE_INFINITY,
    };
  }

  /** A token is valid whether or not this can be written. */
  #confirm(issuedBy: string, nowMs: number): void {
    try {
      this.#tokens.confirm(issuedBy, nowMs);
    } catch (error) {
      this.#onFailure(error);
    }
  }

  #withLastUse(token: Token): Token {
    const timeMs = this.#uses.timeOf(token.id);
    return timeMs === undefined ? token : { ...token, lastUsedAtMs: timeMs };
  }
}
