/** Input held to its schema. */
import type { z } from "zod";
import { MicError } from "../../core/base/errors.ts";

const ISSUES_SHOWN = 10;

/** `what` names the input in the error. Errors: `usage` with `issues`, and those of the core's own parsers. */
export function checked<T extends z.ZodType>(schema: T, value: unknown, what: string): z.output<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.slice(0, ISSUES_SHOWN).map((issue) => ({
    path: issue.path.map(String).join("."),
    message: issue.message,
  }));
  const [first] = issues;
  const where = first === undefined || first.path === "" ? `the ${what}` : `the ${what} ${first.path}`;
  throw new MicError("usage", `${where} is not valid: ${first?.message ?? "unknown"}`, { data: { issues } });
}
