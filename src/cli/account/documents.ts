/** What a server says of accounts, checked member by member: everything else in an answer is passed over. */
import { MicError } from "../../core/base/errors.ts";

export const SCOPES = ["read", "write", "admin"] as const;
export type TokenScope = (typeof SCOPES)[number];
export const ROLES = ["read", "write", "owner"] as const;
export type MemberRole = (typeof ROLES)[number];

/** Times are RFC 3339, null for never. */
export interface UserDocument {
  readonly id: string;
  readonly name: string;
  readonly email: string | null;
  readonly siteAdmin: boolean;
  readonly disabled: boolean;
  readonly createdAt: string | null;
}

export interface TokenDocument {
  readonly id: string;
  /** `personal`, or `access` for one made by signing in. */
  readonly kind: string | null;
  readonly name: string;
  readonly scope: string;
  /** The only project that it is for. */
  readonly project: string | null;
  readonly createdAt: string | null;
  readonly expiresAt: string | null;
  readonly lastUsedAt: string | null;
}

/** Whose token it is, and the token. */
export interface AccountDocument {
  readonly name: string;
  readonly email: string | null;
  readonly siteAdmin: boolean;
  readonly hasPassword: boolean;
  readonly token: TokenDocument | undefined;
}

export interface MemberDocument {
  readonly user: string;
  readonly role: string;
  /** The organization that the role is in; absent for the project's own. */
  readonly through?: string;
}

export interface AuditDocument {
  /** `accounts` or `landings`; null of an older server. */
  readonly log: string | null;
  /** In its log. */
  readonly id: number | string;
  readonly at: string;
  readonly account: string;
  readonly token: string | null;
  readonly address: string;
  readonly action: string;
  readonly target: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface PageOf<Item> {
  readonly items: readonly Item[];
  readonly next: string | undefined;
}

/** Errors: `corrupt`. */
export function readUser(value: unknown): UserDocument {
  const user = members(value, "a user");
  return {
    id: text(user, "id") ?? "",
    name: requiredText(user, "name"),
    email: text(user, "email"),
    siteAdmin: user["isSiteAdmin"] === true,
    disabled: text(user, "disabledAt") !== null,
    createdAt: text(user, "createdAt"),
  };
}

/** Errors: `corrupt`. */
export function readToken(value: unknown): TokenDocument {
  const token = members(value, "a token");
  return {
    id: requiredText(token, "id"),
    kind: text(token, "kind"),
    name: text(token, "name") ?? "",
    scope: requiredText(token, "scope"),
    project: text(token, "project"),
    createdAt: text(token, "createdAt"),
    expiresAt: text(token, "expiresAt"),
    lastUsedAt: text(token, "lastUsedAt"),
  };
}

/** Errors: `corrupt`. */
export function readNewToken(value: unknown): { readonly token: TokenDocument; readonly secret: string } {
  const made = members(value, "a new token");
  return { token: readToken(made["token"]), secret: requiredText(made, "secret") };
}

/** Errors: `corrupt`. */
export function readAccount(value: unknown): AccountDocument {
  const account = members(value, "an account");
  const { name, email, siteAdmin } = readUser(value);
  const token = account["token"];
  return {
    name,
    email,
    siteAdmin,
    hasPassword: account["hasPassword"] === true,
    token: token === undefined || token === null ? undefined : readToken(token),
  };
}

/** Errors: `corrupt`. */
export function readMember(value: unknown): MemberDocument {
  const member = members(value, "a member");
  const through = text(member, "through");
  return {
    user: requiredText(member, "user"),
    role: requiredText(member, "role"),
    ...(through === null ? {} : { through }),
  };
}

/** Errors: `corrupt`. */
export function readAuditEntry(value: unknown): AuditDocument {
  const entry = members(value, "an audit entry");
  const { id, detail } = entry;
  return {
    log: text(entry, "log"),
    id: typeof id === "number" ? id : requiredText(entry, "id"),
    at: requiredText(entry, "at"),
    account: text(entry, "account") ?? "",
    token: text(entry, "token"),
    address: text(entry, "address") ?? "",
    action: requiredText(entry, "action"),
    target: text(entry, "target") ?? "",
    detail: typeof detail === "object" && detail !== null ? (detail as Record<string, unknown>) : {},
  };
}

/** Errors: `corrupt`. */
export function readPage<Item>(value: unknown, read: (item: unknown) => Item): PageOf<Item> {
  const page = members(value, "a page");
  const { items, next } = page;
  if (!Array.isArray(items)) throw wrong("a page", "it has no items");
  return { items: items.map(read), next: typeof next === "string" && next !== "" ? next : undefined };
}

type Members = Readonly<Record<string, unknown>>;

function members(value: unknown, what: string): Members {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Members;
  throw wrong(what, "it is no object");
}

function text(of: Members, name: string): string | null {
  const value = of[name];
  return typeof value === "string" && value !== "" ? value : null;
}

function requiredText(of: Members, name: string): string {
  const value = text(of, name);
  if (value === null) throw wrong("an answer", `it has no ${name}`);
  return value;
}

function wrong(what: string, why: string): MicError {
  return new MicError("corrupt", `the server's word about ${what} is wrong: ${why}`, {
    hint: "check the address; if it is right, the server is broken or of another version",
  });
}
