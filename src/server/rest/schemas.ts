/** The documents that REST answers with. */
import { z } from "zod";
import { WEBHOOK_EVENTS } from "../webhooks/webhook.ts";

/** Names of shapes in the OpenAPI document. */
export const components = z.registry<{ id: string }>();

export function component<T extends z.ZodType>(id: string, schema: T): T {
  components.add(schema, { id });
  return schema;
}

export const position = z.int().min(0);
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const id = z.string().regex(/^[0-9a-f]{32}$/);
const time = z.iso.datetime();
export const count = z.int().min(0);
const next = z.string().optional().describe("Pass as `after` for the next page; absent on the last");

export const positionRef = component("PositionRef", z.strictObject({ position, tree: hash }));
export const visibility = z.enum(["private", "public"]);
export const sessionState = z.enum(["open", "landed", "abandoned", "conflicted"]);

export const project = component(
  "Project",
  z.strictObject({
    id,
    name: z.string(),
    description: z.string(),
    visibility,
    salt: z.string().regex(/^[0-9a-f]{16}$/),
    createdAt: time,
  }),
);
export const organization = component(
  "Organization",
  z.strictObject({ name: z.string(), description: z.string(), createdAt: time }),
);

export const head = component(
  "Head",
  z.strictObject({
    position,
    tree: hash,
    time,
    hlc: z.string().regex(/^\d+$/).describe("Hybrid logical clock: a 64-bit number in decimal"),
    salt: z.string(),
  }),
);

export const entryFields = {
  kind: z.enum(["file", "executable", "symlink"]),
  size: count.describe("Bytes"),
  hash: hash.describe("BLAKE3 of the content, as `b3sum` gives it"),
  chunks: hash.optional().describe("Chunk list, where the content is stored in chunks"),
};
export const entry = component("Entry", z.strictObject(entryFields));
export const treeItem = component(
  "TreeItem",
  z.union([
    z.strictObject({ path: z.string(), name: z.string(), ...entryFields }),
    z.strictObject({
      path: z.string(),
      name: z.string(),
      kind: z.literal("directory"),
      count: count.describe("Files below it, at any depth"),
    }),
  ]),
);
export const tree = component(
  "TreePage",
  z.strictObject({ position, tree: hash, dir: z.string(), items: z.array(treeItem), next }),
);

export const operation = component(
  "Operation",
  z.union([
    z.strictObject({ op: z.literal("put"), path: z.string(), ...entryFields }),
    z.strictObject({ op: z.literal("delete"), path: z.string() }),
  ]),
);
export const message = component("Message", z.strictObject({ role: z.string(), text: z.string() }));

const sessionFields = {
  id,
  goal: z.string(),
  owner: z.string(),
  state: sessionState,
  base: positionRef,
  createdAt: time,
  updatedAt: time,
  landedAt: position.optional().describe("Where it landed"),
};
export const sessionSummary = component("SessionSummary", z.strictObject(sessionFields));
export const recordedSession = component(
  "RecordedSession",
  z.strictObject({
    ...sessionFields,
    recorded: z
      .strictObject({ operations: count, decisions: count, messages: count })
      .describe("How much of each it holds now"),
  }),
);
export const session = component(
  "Session",
  z.strictObject({
    ...sessionFields,
    operations: z.array(operation),
    decisions: z.array(z.string()),
    conversation: z.array(message),
  }),
);

const landingFields = {
  position,
  landingId: id,
  session: id,
  tree: hash,
  parentTree: hash,
  goal: z.string(),
  author: z.string(),
  agent: z.string(),
  time,
  changes: count,
};
export const landingSummary = component("LandingSummary", z.strictObject(landingFields));
export const landingPage = component(
  "LandingPage",
  z.strictObject({
    items: z.array(landingSummary),
    before: position.optional().describe("Pass as `before` for the next page; absent on the last"),
  }),
);
export const landing = component(
  "Landing",
  z.strictObject({
    ...landingFields,
    base: positionRef,
    decisions: z.array(z.string()),
    conversation: z.array(message),
    operations: z.array(operation),
  }),
);
export const landed = component(
  "Landed",
  z.strictObject({
    position,
    tree: hash,
    session: id,
    landingId: id.describe("Landing again under it answers the same"),
    conflicts: z.array(z.string()).max(0),
  }),
);

export const change = component(
  "Change",
  z.strictObject({
    op: z.enum(["add", "modify", "delete", "mode", "type", "rename"]),
    path: z.string(),
    from: z.string().optional().describe("Of a rename"),
    before: entry.optional(),
    after: entry.optional(),
    added: count.optional().describe("Lines, with `stat`"),
    removed: count.optional().describe("Lines, with `stat`"),
    binary: z.literal(true).optional(),
  }),
);
export const diff = component(
  "Diff",
  z.strictObject({ from: position, to: position, changes: z.array(change) }),
);
export const blame = component(
  "Blame",
  z.strictObject({
    position,
    path: z.string(),
    lines: z.array(
      z.strictObject({
        line: z.int().min(1),
        text: z.string(),
        position,
        author: z.string(),
        goal: z.string(),
        time,
      }),
    ),
  }),
);
export const storedBlob = component(
  "StoredBlob",
  z.strictObject({ hash: entryFields.hash, size: entryFields.size, chunks: entryFields.chunks }),
);
export const storedPack = component("StoredPack", z.strictObject({ pack: hash, size: count }));

export const uploadPlace = component(
  "UploadPlace",
  z.strictObject({
    method: z.literal("PUT"),
    url: z.string().describe("In the store, not at this server"),
    headers: z.record(z.string(), z.string()).describe("To be sent with it, and no token"),
    upload: z.string(),
    expires: z.string().describe("RFC 3339"),
    finish: z.string().describe("Path here to POST to when the pack is there"),
  }),
);

export const webhook = component(
  "Webhook",
  z.strictObject({
    id,
    url: z.string(),
    events: z.array(z.enum(WEBHOOK_EVENTS)),
    active: z.boolean(),
    stoppedBecause: z.string().optional().describe("Where the server stopped it"),
    createdBy: z.string().describe("A user's name"),
    createdAt: time,
    position: position.describe("Landings up to it are delivered, or wait to be"),
    secret: z.string().optional().describe("Only in the answer of the call that made it"),
  }),
);
export const webhookList = component("WebhookList", z.strictObject({ items: z.array(webhook) }));
export const webhookDelivery = component(
  "WebhookDelivery",
  z.strictObject({
    id,
    message: id.describe("`webhook-id`: the same each time that the message is sent"),
    kind: z.enum(["event", "redelivery", "ping"]),
    event: z.enum([...WEBHOOK_EVENTS, "ping"]),
    state: z.enum(["pending", "delivered", "failed"]),
    createdAt: time,
    attempts: count,
    nextAttemptAt: time.optional(),
    status: z.int().optional().describe("HTTP status of the last attempt"),
    error: z.string().optional().describe("Why the last attempt failed"),
    durationMs: count.optional().describe("Of the last attempt"),
    deliveredAt: time.optional(),
    payload: z.looseObject({}).optional().describe("Where one delivery is asked for"),
  }),
);
export const webhookDeliveryPage = pageOf("WebhookDeliveryPage", webhookDelivery);

export const problem = component(
  "Problem",
  z
    .looseObject({
      type: z.string(),
      title: z.string(),
      status: z.int(),
      detail: z.string(),
      code: z.string().describe("What scripts look at: see /SKILL.md"),
      hint: z.string().optional().describe("What to do next"),
      paths: z.array(z.string()).optional().describe("Of a conflict, or of paths that are refused"),
      secrets: z
        .array(z.object({ path: z.string(), line: z.int(), kind: z.string() }))
        .optional()
        .describe("What the project's policy refuses: where, never the secret itself"),
      issues: z
        .array(z.strictObject({ path: z.string(), message: z.string() }))
        .optional()
        .describe("What is not valid in a body or a parameter"),
      requestId: z.string().optional().describe("Of an internal error, as the server logged it"),
    })
    .describe("RFC 9457"),
);

export function pageOf<T extends z.ZodType>(name: string, item: T) {
  return component(name, z.strictObject({ items: z.array(item), next }));
}
