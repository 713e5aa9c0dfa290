/** Users, tokens, members and the audit log as the documents of REST, with their shapes. */
import { z } from "zod";
import type { Member, Token, User } from "../auth/accounts.ts";
import type { AuditRecord } from "../auth/audit.ts";
import type { Role } from "../auth/principal.ts";
import { type JsonObject, timeOf } from "./documents.ts";
import { component, pageOf } from "./schemas.ts";

const id = z.string().regex(/^[0-9a-f]{32}$/);
const time = z.iso.datetime();
export const scope = z.enum(["read", "write", "admin"]);
export const role = z.enum(["read", "write", "owner"]);

const userFields = {
  id,
  name: z.string(),
  email: z.string().optional(),
  isSiteAdmin: z.boolean(),
  hasPassword: z.boolean(),
  createdAt: time,
  disabledAt: time.optional(),
};
export const userShape = component("User", z.strictObject(userFields));
export const userPage = pageOf("UserPage", userShape);

export const tokenShape = component(
  "Token",
  z.strictObject({
    id: z.string(),
    kind: z.enum(["personal", "access", "refresh", "session"]),
    name: z.string(),
    scope,
    project: id.optional().describe("The only one that it is for"),
    client: z.string().optional().describe("Of OAuth, for one that was made by signing in"),
    createdAt: time.optional(),
    expiresAt: time.optional(),
    lastUsedAt: time.optional().describe("Within a minute or so"),
  }),
);
export const tokenPage = pageOf("TokenPage", tokenShape);
export const newTokenShape = component(
  "NewToken",
  z.strictObject({
    token: tokenShape,
    secret: z.string().describe("What is sent as bearer token; it cannot be read again"),
  }),
);
export const accountShape = component("Account", z.strictObject({ ...userFields, token: tokenShape }));

export const memberShape = component("Member", z.strictObject({ user: z.string(), role }));
export const memberPage = pageOf("MemberPage", memberShape);
export const projectMemberPage = pageOf(
  "ProjectMemberPage",
  component(
    "ProjectMember",
    z.strictObject({
      user: z.string(),
      role,
      through: z.string().optional().describe("The organization that the role is in; absent: the project"),
    }),
  ),
);

export const auditShape = component(
  "AuditEntry",
  z.strictObject({
    log: z
      .enum(["accounts", "landings"])
      .describe("Landings and imports are in a log of the server that they came to"),
    id: z.int().describe("In its log"),
    at: time,
    account: z.string().describe("The user's name then; empty for nobody"),
    user: id.optional(),
    token: id.optional(),
    address: z.string(),
    action: z.string(),
    target: z.string(),
    detail: z.record(z.string(), z.unknown()),
  }),
);
export const auditPage = component(
  "AuditPage",
  z.strictObject({
    items: z.array(auditShape),
    next: z.string().optional().describe("Pass as `before` for the next page; absent on the last"),
  }),
);

export function userDocument(user: User): JsonObject {
  const { email, isSiteAdmin, hasPassword, createdAtMs, disabledAtMs } = user;
  return {
    id: user.id,
    name: user.name,
    ...(email === undefined ? {} : { email }),
    isSiteAdmin,
    hasPassword,
    createdAt: timeOf(createdAtMs),
    ...(disabledAtMs === undefined ? {} : { disabledAt: timeOf(disabledAtMs) }),
  };
}

export function tokenDocument(token: Token): JsonObject {
  const { kind, name, onlyProject, client, createdAtMs, expiresAtMs, lastUsedAtMs } = token;
  return {
    id: token.id,
    kind,
    name,
    scope: token.scope,
    ...(onlyProject === undefined ? {} : { project: onlyProject }),
    ...(client === undefined ? {} : { client }),
    createdAt: timeOf(createdAtMs),
    ...(expiresAtMs === undefined ? {} : { expiresAt: timeOf(expiresAtMs) }),
    ...(lastUsedAtMs === undefined ? {} : { lastUsedAt: timeOf(lastUsedAtMs) }),
  };
}

export function memberDocument(member: Member): {
  readonly user: string;
  readonly role: Role;
  readonly through?: string;
} {
  return { user: member.user.name, role: member.role };
}

export function auditDocument(record: AuditRecord): JsonObject {
  const { atMs, account, userId, tokenId, address, action, target, detail } = record;
  return {
    log: record.log,
    id: record.id,
    at: timeOf(atMs),
    account,
    ...(userId === undefined ? {} : { user: userId }),
    ...(tokenId === undefined ? {} : { token: tokenId }),
    address,
    action,
    target,
    detail,
  };
}
