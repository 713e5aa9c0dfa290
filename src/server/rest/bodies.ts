/** The JSON bodies that REST takes. */
import { z } from "zod";
import {
  type LandingId,
  type ObjectId,
  type PackId,
  type ProjectId,
  parseLandingId,
  parseObjectId,
  parsePackId,
  parseProjectId,
  parseSessionId,
  type SessionId,
} from "../../core/base/ids.ts";
import { parseTreePath, type TreePath } from "../../core/base/path.ts";
import { HEX_32, HEX_64, parameter } from "./parameters.ts";
import { count, entryFields, position, visibility } from "./schemas.ts";

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
