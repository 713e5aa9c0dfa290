/** One request for each endpoint, whole enough that the server looks at the caller's rights and not at a mistake in it. */
import { randomBytes, randomUUID } from "node:crypto";
import { type Client, Metadata, type StatusObject } from "@grpc/grpc-js";
import { decodeTrailers, messageHeader } from "../../src/core/wire/framing.ts";
import { GRPC, type WireStatus } from "../../src/core/wire/status.ts";
import type { AccessProject } from "./access-world.ts";

export interface RestRequest {
  readonly path: string;
  readonly body?: unknown;
  readonly bytes?: string;
}

const SESSION = "ab".repeat(16);
const HASH = "cd".repeat(32);
const json = (path: string, body: unknown): RestRequest => ({ path, body });
const fresh = (): string => `new-${randomUUID().slice(0, 13)}`;

function ofProject(
  rest: string,
  more: Omit<RestRequest, "path"> = {},
): (project: AccessProject) => RestRequest {
  return ({ name }) => ({ path: `/api/mic/projects/${encodeURIComponent(name)}${rest}`, ...more });
}

function ofOrganization(rest: string, more: Omit<RestRequest, "path"> = {}) {
  return ({ org }: AccessProject): RestRequest => ({
    path: `/api/mic/organizations/${org}/members${rest}`,
    ...more,
  });
}

/** By operation id. */
export const REST_REQUESTS: Readonly<Record<string, (project: AccessProject) => RestRequest>> = {
  getOpenApi: () => ({ path: "/api/openapi.json" }),
  getSkill: () => ({ path: "/SKILL.md" }),
  getLlmsText: () => ({ path: "/llms.txt" }),
  listProjects: () => ({ path: "/api/mic/projects" }),
  createProject: () => json("/api/mic/projects", { name: `${fresh()}/p` }),
  getProject: ofProject(""),
  updateProject: ofProject("", { body: { description: "changed" } }),
  deleteProject: ofProject(""),
  listOrganizations: () => ({ path: "/api/mic/organizations" }),
  createOrganization: () => json("/api/mic/organizations", { name: fresh() }),
  getOrganization: ({ org }) => ({ path: `/api/mic/organizations/${org}` }),
  getHead: ofProject("/head"),
  listLandings: ofProject("/landings"),
  getLanding: ofProject("/landings/1"),
  diff: ofProject("/diff?from=0&to=0"),
  blame: ofProject("/blame/a.txt"),
  followLandings: ofProject("/landings/events"),
  followSession: ofProject(`/sessions/${SESSION}/events`),
  listTree: ofProject("/tree"),
  getFile: ofProject("/files/a.txt"),
  getArchive: ofProject("/archive"),
  putBlob: ofProject("/blobs", { bytes: "content" }),
  getBlob: ofProject(`/blobs/${HASH}`),
  putPack: ofProject("/packs", { bytes: "no pack" }),
  startUpload: ofProject("/packs/uploads", { body: { size: 1 } }),
  finishUpload: ofProject("/packs/uploads/upload"),
  getPack: ofProject(`/packs/${HASH}`),
  startSession: ofProject("/sessions", { body: { goal: "try" } }),
  listSessions: ofProject("/sessions"),
  getSession: ofProject(`/sessions/${SESSION}`),
  recordOperations: ofProject(`/sessions/${SESSION}/operations`, {
    body: { operations: [{ op: "delete", path: "a.txt" }] },
  }),
  recordDecision: ofProject(`/sessions/${SESSION}/decisions`, { body: { text: "so" } }),
  recordConversation: ofProject(`/sessions/${SESSION}/conversation`, {
    body: { messages: [{ role: "user", text: "hello" }] },
  }),
  abandonSession: ofProject(`/sessions/${SESSION}/abandon`, { body: {} }),
  landSession: ofProject(`/sessions/${SESSION}/land`, { body: {} }),
  listProjectMembers: ofProject("/members"),
  setProjectMember: ofProject("/members/no-such-user", { body: { role: "read" } }),
  removeProjectMember: ofProject("/members/no-such-user"),
  listOrganizationMembers: ofOrganization(""),
  setOrganizationMember: ofOrganization("/no-such-user", { body: { role: "read" } }),
  removeOrganizationMember: ofOrganization("/no-such-user"),
  getAccount: () => ({ path: "/api/mic/account" }),
  listTokens: () => ({ path: "/api/mic/account/tokens" }),
  createToken: () => json("/api/mic/account/tokens", { name: "another", scope: "read" }),
  revokeToken: () => ({ path: `/api/mic/account/tokens/${SESSION}` }),
  setPassword: () => json("/api/mic/account/password", { password: "" }),
  listUsers: () => ({ path: "/api/mic/users" }),
  createUser: () => json("/api/mic/users", { name: fresh() }),
  getUser: () => ({ path: "/api/mic/users/no-such-user" }),
  updateUser: () => json("/api/mic/users/no-such-user", { disabled: true }),
  listUserTokens: () => ({ path: "/api/mic/users/no-such-user/tokens" }),
  revokeUserToken: () => ({ path: `/api/mic/users/no-such-user/tokens/${SESSION}` }),
  listAudit: () => ({ path: "/api/mic/audit" }),
  listLandingAudit: () => ({ path: "/api/mic/audit/landings" }),
  listWebhooks: ofProject("/webhooks"),
  createWebhook: ofProject("/webhooks", { body: { url: "no-url" } }),
  getWebhook: ofProject(`/webhooks/${SESSION}`),
  updateWebhook: ofProject(`/webhooks/${SESSION}`, { body: { active: false } }),
  deleteWebhook: ofProject(`/webhooks/${SESSION}`),
  pingWebhook: ofProject(`/webhooks/${SESSION}/ping`),
  listDeliveries: ofProject(`/webhooks/${SESSION}/deliveries`),
  getDelivery: ofProject(`/webhooks/${SESSION}/deliveries/${SESSION}`),
  redeliver: ofProject(`/webhooks/${SESSION}/deliveries/${SESSION}/redeliver`),
};

/** Field 1 is the project's or organization's name in all of them; what they lack is refused after the caller. */
export function methodRequest(path: string, project: AccessProject): Uint8Array {
  const name = /Service\/(\w+)$/.exec(path)![1]!;
  if (name === "CreateOrganization") return textField(1, fresh());
  if (name === "GetOrganization") return textField(1, project.org);
  if (name === "CreateProject")
    return Buffer.concat([bytesField(1, randomBytes(16)), textField(2, `${fresh()}/p`)]);
  if (name === "ListProjects" || name === "ListOrganizations") return new Uint8Array(0);
  if (name === "WhoAmI" || name === "ListTokens") return new Uint8Array(0);
  if (name === "RevokeToken") return bytesField(1, randomBytes(16));
  return textField(1, project.name);
}

function textField(field: number, text: string): Uint8Array {
  return bytesField(field, Buffer.from(text));
}

function bytesField(field: number, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from([(field << 3) | 2, bytes.length]), bytes]);
}

/** Streams without an end are over after a moment. */
function timeoutMsOf(path: string): number {
  return /\/Watch/.test(path) ? 300 : 30_000;
}

/**
 * The same over gRPC: on the wire every kind of call is a stream of requests and one of answers. Now and then, with many
 * calls on one connection, this client (grpc-js in Bun) sees the end of a stream before its trailers: that call is
 * made again.
 */
export async function callGrpc(
  client: Client,
  path: string,
  message: Uint8Array,
  token: string | undefined,
): Promise<WireStatus> {
  for (let left = 3; ; left--) {
    const status = await callGrpcOnce(client, path, message, token);
    const isCutShort = status.code === GRPC.INTERNAL && /RST_STREAM with code 0/.test(status.message);
    if (!isCutShort || left === 0) return status;
  }
}

function callGrpcOnce(
  client: Client,
  path: string,
  message: Uint8Array,
  token: string | undefined,
): Promise<WireStatus> {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
  const asIs = (bytes: Buffer): Buffer => bytes;
  const deadline = Date.now() + timeoutMsOf(path);
  return new Promise((resolve) => {
    const call = client.makeBidiStreamRequest(path, asIs, asIs, metadata, { deadline });
    call.on("data", () => undefined);
    call.on("error", () => undefined);
    call.on("status", ({ code, details }: StatusObject) => resolve({ code, message: details }));
    call.write(Buffer.from(message));
    call.end();
  });
}

/** Sends one message; a stream that would go on is over after a moment. */
export async function callMethod(
  url: string,
  path: string,
  message: Uint8Array,
  token: string | undefined,
): Promise<WireStatus> {
  const response = await fetch(url + path, {
    method: "POST",
    headers: {
      "content-type": "application/grpc-web+proto",
      "grpc-timeout": `${timeoutMsOf(path)}m`,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: Buffer.concat([messageHeader(message.length), message]),
  });
  const bytes = new Uint8Array(await response.arrayBuffer());
  for (let offset = 0; offset < bytes.length; ) {
    const length = new DataView(bytes.buffer, bytes.byteOffset + offset).getUint32(1);
    const body = bytes.subarray(offset + 5, offset + 5 + length);
    if ((bytes[offset]! & 0x80) !== 0) return decodeTrailers(body);
    offset += 5 + length;
  }
  return { code: GRPC.INTERNAL, message: `no trailers (${response.status})` };
}
