/** The shapes of REST: parameters as they are read, bodies as they are taken, documents as they are answered. */
import { z } from "zod";
import {
  type LandingId,
  type ObjectId,
  type PackId,
  type Position,
  type ProjectId,
  parseLandingId,
  parseObjectId,
  parsePackId,
  parseProjectId,
  parseSessionId,
  type SessionId,
} from "../../core/base/ids.ts";
import { parseTreePath, type TreePath } from "../../core/base/path.ts";

/** Names of shapes in the OpenAPI document. */
export const components = z.registry<{ id: string }>();
/** What the document says of a parameter, where that is more than "a string". */
export const parameterSchemas = z.registry<{ schema: Readonly<Record<string, unknown>> }>();

function component<T extends z.ZodType>(id: string, schema: T): T {
  components.add(schema, { id });
  return schema;
}

function parameter<T extends z.ZodType>(schema: Readonly<Record<string, unknown>>, read: T): T {
  parameterSchemas.add(read, { schema });
  return read;
}

const HEX_32 = { type: "string", pattern: "^[0-9a-f]{32}$" };
const HEX_64 = { type: "string", pattern: "^[0-9a-f]{64}$" };

// Parameters. Parsers of the core throw MicErrors, which pass through zod as they are.

export const projectParameter = parameter(
  {
    type: "string",
    description: "The project's id, or its name with the slash percent-encoded: org%2Fproject",
  },
  z.string(),
);
export const sessionParameter = parameter(
  HEX_32,
  z.string().transform((text): SessionId => parseSessionId(text)),
);
export const objectParameter = parameter(
  HEX_64,
  z.string().transform((text): ObjectId => parseObjectId(text)),
);
export const packParameter = parameter(
  HEX_64,
  z.string().transform((text): PackId => parsePackId(text)),
);
export const pathParameter = parameter(
  { type: "string", description: "Path below the project's root; its slashes need not be encoded" },
  z.string().transform((text): TreePath => parseTreePath(text)),
);
export const directoryParameter = parameter(
  { type: "string", default: "", description: "A directory's path; empty for the root" },
  z
    .string()
    .default("")
    .transform((text): TreePath | "" => (text === "" ? "" : parseTreePath(text))),
);
export const pathsParameter = parameter(
  {
    type: "array",
    items: { type: "string" },
    description: "Only this path and what is below it; repeatable",
  },
  z
    .array(z.string().transform((text): TreePath => parseTreePath(text)))
    .max(1000)
    .optional(),
);

const DIGITS = /^\d{1,20}$/;

function readPosition(text: string, context: z.RefinementCtx<string>): Position {
  const value = DIGITS.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value as Position;
  context.addIssue({ code: "custom", message: `${JSON.stringify(text.slice(0, 100))} is not a position` });
  return z.NEVER;
}

const POSITION_SCHEMA = { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
const POSITION_OR_LATEST = { oneOf: [POSITION_SCHEMA, { const: "latest" }] };

/** A position, or `latest`. */
export const positionParameter = parameter(
  POSITION_OR_LATEST,
  z.string().transform((text, context) => (text === "latest" ? text : readPosition(text, context))),
);
/** The same, `latest` when absent. */
export const atParameter = parameter(
  { ...POSITION_OR_LATEST, default: "latest" },
  z
    .string()
    .default("latest")
    .transform((text, context) => (text === "latest" ? text : readPosition(text, context))),
);
export const optionalPosition = parameter(POSITION_SCHEMA, z.string().transform(readPosition).optional());

export function limitParameter(normal: number, most: number): z.ZodType<number> {
  return parameter(
    { type: "integer", minimum: 1, maximum: most, default: normal },
    z
      .string()
      .default(String(normal))
      .transform((text, context) => {
        const value = DIGITS.test(text) ? Number(text) : 0;
        if (value >= 1 && value <= most) return value;
        context.addIssue({ code: "custom", message: `a limit is a number from 1 to ${most}` });
        return z.NEVER;
      }),
  );
}
export const afterParameter = parameter(
  { type: "string", description: "`next` of the page before" },
  z.string().max(8192).optional(),
);
export const flagParameter = parameter(
  { type: "boolean", default: false },
  z
    .enum(["true", "false", ""])
    .default("false")
    .transform((text) => text !== "false"),
);

// Fields of documents

const position = z.int().min(0);
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const id = z.string().regex(/^[0-9a-f]{32}$/);
const time = z.iso.datetime();
const count = z.int().min(0);
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

const entryFields = {
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

// Bodies

const idField = {
  project: parameter(
    HEX_32,
    z
      .string()
      .transform((text): ProjectId => parseProjectId(text))
      .optional(),
  ),
  session: parameter(
    HEX_32,
    z
      .string()
      .transform((text): SessionId => parseSessionId(text))
      .optional(),
  ),
  landing: parameter(
    HEX_32,
    z
      .string()
      .transform((text): LandingId => parseLandingId(text))
      .optional(),
  ),
};
const hashField = parameter(
  HEX_64,
  z.string().transform((text): ObjectId => parseObjectId(text)),
);
const pathField = parameter(
  { type: "string" },
  z.string().transform((text): TreePath => parseTreePath(text)),
);

export const createProjectBody = z.strictObject({
  id: idField.project.describe("Minted by the caller, so that a retry recognises itself; else by the server"),
  name: z.string().describe("org/project"),
  description: z.string().optional(),
  visibility: visibility.optional(),
  salt: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .optional(),
});
export const updateProjectBody = z.strictObject({
  name: z.string().optional().describe("A rename leaves a redirect under the old name"),
  description: z.string().optional(),
  visibility: visibility.optional(),
});
export const createOrganizationBody = z.strictObject({
  name: z.string(),
  description: z.string().optional(),
});
export const startSessionBody = z.strictObject({
  id: idField.session,
  goal: z.string(),
  owner: z.string().optional().describe("Default: the caller's account"),
  base: z
    .union([position, z.literal("latest")])
    .default("latest")
    .describe("The position that the work starts from"),
  tree: hashField.optional().describe("What the caller takes the base to be; refused when it is not"),
});
export const operationsBody = z.strictObject({
  operations: z
    .array(
      z.discriminatedUnion("op", [
        z.strictObject({
          op: z.literal("put"),
          path: pathField,
          kind: entryFields.kind.default("file"),
          hash: hashField,
          size: count.optional().describe("Bytes; looked up when absent"),
          chunks: hashField.optional(),
        }),
        z.strictObject({ op: z.literal("delete"), path: pathField }),
      ]),
    )
    .min(1)
    .max(100_000),
});
export const decisionBody = z.strictObject({ text: z.string().min(1) });
export const conversationBody = z.strictObject({
  messages: z
    .array(z.strictObject({ role: z.string().min(1), text: z.string() }))
    .min(1)
    .max(10_000),
});
export const abandonBody = z.strictObject({});
export const landBody = z.strictObject({
  landingId: idField.landing.describe("Minted by the caller before the first attempt; else by the server"),
  goal: z.string().optional().describe("Default: the session's"),
  author: z.string().optional().describe("`Name <email>`; default: the caller's account"),
  agent: z.string().optional(),
  packs: z
    .array(
      parameter(
        HEX_64,
        z.string().transform((text): PackId => parsePackId(text)),
      ),
    )
    .max(10_000)
    .optional(),
});
