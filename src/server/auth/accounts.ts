/**
 * Users, tokens, and who may do what: the port behind which the auth database stands. Everything is synchronous,
 * as SQLite is; nothing here knows HTTP. Names and addresses compare without case.
 */
import type { ProjectId } from "../../core/base/ids.ts";
import type { Principal, Role, Scope, UserId } from "./principal.ts";

export interface User {
  readonly id: UserId;
  /** `[a-z0-9][a-z0-9._-]*`, as an organization's; it names the organization that is the user's own. */
  readonly name: string;
  readonly email: string | undefined;
  readonly isSiteAdmin: boolean;
  readonly hasPassword: boolean;
  /** Unix milliseconds. */
  readonly createdAtMs: number;
  readonly disabledAtMs: number | undefined;
}

/**
 * `personal` ones are made by their user; `access` and `refresh` ones by signing in; `session` ones are cookies of
 * the server's own pages and no bearer tokens.
 */
export type TokenKind = "personal" | "access" | "refresh" | "session";

export interface Token {
  readonly id: string;
  readonly user: UserId;
  readonly kind: TokenKind;
  readonly name: string;
  readonly scope: Scope;
  readonly onlyProject: ProjectId | undefined;
  /** OAuth client, for `access` and `refresh`. */
  readonly client: string | undefined;
  /** Tokens of one sign-in; revoking one revokes them all. */
  readonly family: string | undefined;
  readonly createdAtMs: number;
  readonly expiresAtMs: number | undefined;
  /** Within a minute or so. */
  readonly lastUsedAtMs: number | undefined;
}

export interface NewToken {
  readonly user: UserId;
  readonly kind: TokenKind;
  readonly name: string;
  readonly scope: Scope;
  readonly onlyProject?: ProjectId;
  readonly client?: string;
  readonly family?: string;
  readonly expiresAtMs?: number;
  /** The refresh token that it is given for: using this one confirms that its holder has it. */
  readonly issuedBy?: string;
}

export interface Member {
  readonly user: User;
  readonly role: Role;
}

export interface CreateUser {
  readonly name: string;
  readonly email?: string;
  /** Absent: signs in with tokens only. */
  readonly password?: string;
  readonly isSiteAdmin?: boolean;
  /**
   * False: nobody could look whether a forge has an organization of that name. The user owns it once it has made it;
   * others, from the start.
   */
  readonly ownsName?: boolean;
}

/** Of a project whose owner was not written yet. */
export interface Creation {
  readonly project: ProjectId;
  readonly name: string;
  readonly user: UserId;
  /** Unix milliseconds, before anything of the project was there. */
  readonly startedAtMs: number;
}

/** What an administrator changes of a user; what is absent stays. */
export interface ChangeUser {
  readonly disabled?: boolean | undefined;
  readonly siteAdmin?: boolean | undefined;
  readonly password?: string | undefined;
  /** Ends all of its tokens, personal ones too. */
  readonly revokeTokens?: true | undefined;
}

export interface Accounts {
  /**
   * The principal of a bearer token (kinds `personal` and `access`) of a user who is not disabled. Cheap: what is
   * known is remembered until anything in the database changes, by whomever. Errors: `unauthenticated`, in the same
   * time for every wrong token.
   */
  authenticate(token: string): Principal;

  /** Errors: `already-exists`, `usage` (name, address, a password too short, too long, or too common). */
  createUser(request: CreateUser): Promise<User>;
  /** By id, name or address. */
  findUser(what: string): User | undefined;
  listUsers(page: { readonly after?: string; readonly limit: number }): readonly User[];
  setDisabled(user: UserId, isDisabled: boolean): void;
  setSiteAdmin(user: UserId, isSiteAdmin: boolean): void;
  /** Ends every sign-in of the user, personal tokens excepted. Errors: `usage`. */
  setPassword(user: UserId, password: string): Promise<void>;
  /** All of it, each as above, or nothing. Errors: `not-found`, `usage`. */
  changeUser(user: UserId, change: ChangeUser): Promise<void>;
  /**
   * The user with this name or address and password, who is not disabled. Takes the same time whether or not there
   * is one. Errors: `unauthenticated`; `too-large` for a password above PASSWORD_BYTES_MAX, before it is hashed.
   * Counting failures is the caller's (../network/).
   */
  checkPassword(login: string, password: string): Promise<User>;

  /** The secret is in no other place afterwards. */
  createToken(request: NewToken): { readonly token: Token; readonly secret: string };
  /** Whatever its kind, and valid: what the OAuth endpoints and the pages look up by secret. */
  findToken(secret: string, kind: TokenKind): Token | undefined;
  getToken(id: string): Token | undefined;
  listTokens(user: UserId): readonly Token[];
  /** Those that are valid. */
  countPersonalTokens(user: UserId): number;
  /** With its family. True when there was one. */
  revokeToken(id: string): boolean;
  revokeFamily(family: string): void;

  /** The greater of the role in the project and the one in its organization. */
  roleIn(user: UserId, project: ProjectId, organization: string): Role | undefined;
  roleInOrganization(user: UserId, organization: string): Role | undefined;
  /** Calls `listener` after roles have changed, whoever changed them. Returns what ends it. */
  onRolesChanged(listener: () => void): () => void;
  listProjectMembers(project: ProjectId): readonly Member[];
  listOrganizationMembers(organization: string): readonly Member[];
  /** Undefined takes the role away. Errors: `usage` when the last owner of an organization would go. */
  setProjectRole(project: ProjectId, user: UserId, role: Role | undefined): void;
  setOrganizationRole(organization: string, user: UserId, role: Role | undefined): void;
  /**
   * Makes a user the owner of an organization that is to be made. False, and nothing is changed, where the name is
   * taken as of `isNameTaken`.
   */
  claimOrganization(organization: string, user: UserId): boolean;
  /** Takes back the role of a user who was to own a new organization that came to be another's. */
  releaseOrganization(organization: string, user: UserId): void;
  /** True when a user, or a member, other than `user` has this name: only they may make an organization of it. */
  isNameTaken(organization: string, user?: UserId): boolean;

  /**
   * Before a project that is not there is made: who makes it. False where another one is making it, or has a role in
   * it and the user does not own it. Repeated by the same user, it begins again.
   */
  startCreation(project: ProjectId, name: string, user: UserId): boolean;
  findCreation(project: ProjectId): Creation | undefined;
  /** `isMade`: its user owns the project from here on. Otherwise it is only forgotten. */
  endCreation(project: ProjectId, user: UserId, isMade: boolean): void;
}
