/** A server's accounts over its REST interface, with the token of whoever runs the command. */
import type { TokenSource } from "../../core/remote/channel.ts";
import { type RestCall, RestClient, type RestClientOptions } from "../../core/remote/rest-client.ts";
import type { AccountAdmin, AuditFilter, NewUser, UserChange } from "./account-admin.ts";
import {
  type AccountDocument,
  type AuditDocument,
  type MemberDocument,
  type MemberRole,
  type PageOf,
  readAccount,
  readAuditEntry,
  readMember,
  readNewToken,
  readPage,
  readToken,
  readUser,
  type TokenDocument,
  type TokenScope,
  type UserDocument,
} from "./documents.ts";

const ACCOUNT = "/api/mic/account";
const USERS = "/api/mic/users";
const PAGE_LIMIT = 100;

export interface NewTokenRequest {
  readonly name: string;
  readonly scope: TokenScope;
  /** Id or name. */
  readonly project?: string;
  /** RFC 3339. */
  readonly expiresAt?: string;
}

/** Whose members: `/api/mic/projects/{project}` or `/api/mic/organizations/{organization}`. */
export type MembersOf =
  | { readonly kind: "project"; readonly id: string }
  | { readonly kind: "organization"; readonly name: string };

export interface AccountClientOptions extends RestClientOptions {
  readonly token: TokenSource | undefined;
  readonly signal: AbortSignal;
}

export class AccountClient implements AccountAdmin {
  readonly where: string;
  readonly #rest: RestClient;
  readonly #token: TokenSource | undefined;
  readonly #signal: AbortSignal;

  constructor(options: AccountClientOptions) {
    this.where = options.origin;
    this.#rest = new RestClient(options);
    this.#token = options.token;
    this.#signal = options.signal;
  }

  async account(): Promise<AccountDocument> {
    return readAccount(await this.#call("GET", ACCOUNT));
  }

  async listTokens(): Promise<PageOf<TokenDocument>> {
    return readPage(await this.#call("GET", `${ACCOUNT}/tokens`), readToken);
  }

  async createToken(
    request: NewTokenRequest,
  ): Promise<{ readonly token: TokenDocument; readonly secret: string }> {
    return readNewToken(await this.#call("POST", `${ACCOUNT}/tokens`, request));
  }

  async revokeToken(id: string): Promise<void> {
    await this.#call("DELETE", `${ACCOUNT}/tokens/${encodeURIComponent(id)}`);
  }

  /** `current`: undefined where the account has no password. */
  async setPassword(current: string | undefined, password: string): Promise<void> {
    await this.#call("POST", `${ACCOUNT}/password`, {
      ...(current === undefined ? {} : { current }),
      password,
    });
  }

  async createUser(user: NewUser): Promise<UserDocument> {
    return readUser(await this.#call("POST", USERS, user));
  }

  async listUsers(after: string | undefined): Promise<PageOf<UserDocument>> {
    return readPage(await this.#call("GET", USERS + query({ after, limit: PAGE_LIMIT })), readUser);
  }

  async updateUser(user: string, change: UserChange): Promise<UserDocument> {
    return readUser(await this.#call("PATCH", `${USERS}/${encodeURIComponent(user)}`, change));
  }

  async listUserTokens(user: string): Promise<PageOf<TokenDocument>> {
    return readPage(await this.#call("GET", `${USERS}/${encodeURIComponent(user)}/tokens`), readToken);
  }

  async revokeUserToken(user: string, id: string): Promise<void> {
    await this.#call("DELETE", `${USERS}/${encodeURIComponent(user)}/tokens/${encodeURIComponent(id)}`);
  }

  async listAudit({ log, ...filter }: AuditFilter): Promise<PageOf<AuditDocument>> {
    const path = log === undefined ? "/api/mic/audit" : `/api/mic/audit/${log}`;
    return readPage(await this.#call("GET", path + query(filter)), readAuditEntry);
  }

  /** Of a project also those of its organization, where the server says them. */
  async listMembers(of: MembersOf): Promise<PageOf<MemberDocument>> {
    const inherited = of.kind === "project" ? "?inherited=true" : "";
    return readPage(await this.#call("GET", membersPath(of) + inherited), readMember);
  }

  /** Also changes the role of one who is a member. */
  async setMember(of: MembersOf, user: string, role: MemberRole): Promise<MemberDocument> {
    return readMember(await this.#call("PUT", `${membersPath(of)}/${encodeURIComponent(user)}`, { role }));
  }

  async removeMember(of: MembersOf, user: string): Promise<void> {
    await this.#call("DELETE", `${membersPath(of)}/${encodeURIComponent(user)}`);
  }

  #call(method: RestCall["method"], path: string, body?: unknown): Promise<unknown> {
    const call = { method, path, token: this.#token, signal: this.#signal };
    return this.#rest.call(body === undefined ? call : { ...call, body });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Every call has a connection of its own.
  }
}

function membersPath(of: MembersOf): string {
  return of.kind === "project"
    ? `/api/mic/projects/${encodeURIComponent(of.id)}/members`
    : `/api/mic/organizations/${encodeURIComponent(of.name)}/members`;
}

function query(values: Readonly<Record<string, string | number | undefined>>): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== undefined) pairs.set(name, String(value));
  return pairs.size === 0 ? "" : `?${pairs}`;
}
