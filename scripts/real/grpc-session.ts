/** A whole session over gRPC by a client that knows nothing of mic: it reads the API from the server. */
import type { ServedForge } from "../bench/server.ts";
import type { Checks } from "./checks.ts";
import { buildGrpcurl, Grpcurl } from "./grpcurl.ts";

const PROJECT = "acme/by-grpcurl";

export function grpcSession(server: ServedForge, checks: Checks): void {
  const client = new Grpcurl(buildGrpcurl(), server.url, server.token);
  explore(client, checks);
  checks.expect("CreateProject", client.call("ProjectService/CreateProject", { name: PROJECT }).messages, [
    { name: PROJECT, visibility: "VISIBILITY_PRIVATE" },
  ]);
  const session = record(client, checks);
  land(client, checks, session);
  conflict(client, checks);
  refusals(client, server, checks);
}

function explore(client: Grpcurl, checks: Checks): void {
  checks.expect("list", client.words("list").trim().split("\n"), [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "mic.v1.AccountService",
    "mic.v1.ContentService",
    "mic.v1.ProjectService",
    "mic.v1.SessionService",
  ]);
  const described = client.words("describe", "mic.v1.SessionService.Land");
  checks.expect(
    "describe",
    described,
    /rpc Land \( stream \.mic\.v1\.LandRequest \) returns \( \.mic\.v1\.Landed \)/,
  );
  checks.expect("health", client.words("grpc.health.v1.Health/Check"), /SERVING/);
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

function start(client: Grpcurl, goal: string, base?: object): string {
  return client.call("SessionService/StartSession", { project: PROJECT, goal, base }).messages[0].summary.id;
}

/** Uploads a file and records it. */
function put(client: Grpcurl, session: string, path: string, text: string) {
  const half = text.length >> 1;
  const [stored] = client.call(
    "ContentService/PutBlob",
    { project: PROJECT, data: base64(text.slice(0, half)) },
    { data: base64(text.slice(half)) },
  ).messages;
  const entry = { kind: "ENTRY_KIND_FILE", size: stored.size, id: stored.id };
  const operations = [{ path, entry }];
  return client.call("SessionService/RecordOperation", { project: PROJECT, session, operations });
}

function record(client: Grpcurl, checks: Checks): string {
  const session = start(client, "Say hello");
  const recorded = put(client, session, "docs/hello.txt", "hello over gRPC\n");
  checks.expect("PutBlob in pieces, RecordOperation", recorded.messages, [
    { operations: [{ path: "docs/hello.txt", entry: { size: "16" } }] },
  ]);
  const about = { project: PROJECT, session };
  const decided = client.call("SessionService/RecordDecision", { ...about, text: "in English" });
  checks.expect("RecordDecision", decided.messages, [{ decisions: ["in English"] }]);
  const messages = [{ role: "user", text: "say hello" }];
  const said = client.call("SessionService/RecordConversation", { ...about, messages });
  checks.expect("RecordConversation", said.messages, [{ conversation: messages }]);
  return session;
}

function land(client: Grpcurl, checks: Checks, session: string): void {
  const landed = client.call("SessionService/LandSession", { project: PROJECT, session, agent: "grpcurl" });
  checks.expect("LandSession", landed.messages, [{ position: "1", session }]);
  const [found] = client.call("ContentService/GetPath", {
    project: PROJECT,
    path: "docs/hello.txt",
  }).messages;
  const read = client.call("ContentService/GetBlob", { project: PROJECT, id: found.entry.id });
  checks.expect("GetPath, GetBlob", read.messages, [{ data: base64("hello over gRPC\n") }]);
  const landing = client.call("ContentService/GetLanding", { project: PROJECT, position: 1 });
  checks.expect("GetLanding", landing.messages, [
    { summary: { goal: "Say hello", agent: "grpcurl" }, decisions: ["in English"] },
  ]);
  const fetched = client.call("ContentService/Fetch", { project: PROJECT, from: 0, to: 1 });
  checks.expect("Fetch", [fetched.status, fetched.messages.length], ["OK", 3]);
  const events = client.call("SessionService/WatchSession", { project: PROJECT, session });
  checks.expect("WatchSession of a landed session", events.messages.at(-1), {
    state: { state: "SESSION_STATE_LANDED", landedAt: "1" },
  });
}

function conflict(client: Grpcurl, checks: Checks): void {
  const [head] = client.call("ContentService/GetHead", { project: PROJECT }).messages;
  const base = { position: head.position, root: head.root };
  const [first, second] = [start(client, "one", base), start(client, "two", base)];
  put(client, first, "docs/hello.txt", "one\n");
  put(client, second, "docs/hello.txt", "two\n");
  client.call("SessionService/LandSession", { project: PROJECT, session: first });
  const refused = client.call("SessionService/LandSession", { project: PROJECT, session: second });
  checks.expect("a conflict", refused.status, "ABORTED");
  checks.expect(
    "its typed details",
    refused.error,
    /mic\.v1\.ErrorDetail[\s\S]*"conflict"[\s\S]*docs\/hello\.txt/,
  );
  const abandoned = client.call("SessionService/AbandonSession", { project: PROJECT, session: second });
  checks.expect("AbandonSession", abandoned.messages, [{ summary: { state: "SESSION_STATE_ABANDONED" } }]);
}

function refusals(client: Grpcurl, server: ServedForge, checks: Checks): void {
  const missing = client.call("ContentService/GetHead", { project: "acme/none" });
  checks.expect("an unknown project", missing.status, "NOT_FOUND");
  const wrong = new Grpcurl(buildGrpcurl(), server.url, "wrong");
  checks.expect("a wrong token", wrong.call("ContentService/GetHead", {}).error, /Unauthenticated|token/);
}
