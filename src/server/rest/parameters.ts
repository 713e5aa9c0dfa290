/** What stands in paths and queries, as it is read. Parsers of the core throw MicErrors, which pass through zod. */
import { z } from "zod";
import {
  type ObjectId,
  type PackId,
  type Position,
  parseObjectId,
  parsePackId,
  parseSessionId,
  type SessionId,
} from "../../core/base/ids.ts";
import { parseTreePath, type TreePath } from "../../core/base/path.ts";

/** What the document says of a parameter, where that is more than "a string". */
export const parameterSchemas = z.registry<{ schema: Readonly<Record<string, unknown>> }>();

export function parameter<T extends z.ZodType>(schema: Readonly<Record<string, unknown>>, read: T): T {
  parameterSchemas.add(read, { schema });
  return read;
}

export const HEX_32 = { type: "string", pattern: "^[0-9a-f]{32}$" };
export const HEX_64 = { type: "string", pattern: "^[0-9a-f]{64}$" };

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
