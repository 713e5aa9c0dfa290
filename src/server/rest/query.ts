/** Query strings: names that the route knows, each once unless it says otherwise, in strict percent-encoding. */
import { MicError } from "../../core/base/errors.ts";

const PARAMETERS_MAX = 1000;

/** `repeatable` names give arrays. Errors: `usage`. */
export function parseQuery(
  text: string,
  known: ReadonlySet<string>,
  repeatable: ReadonlySet<string>,
): Record<string, string | string[]> {
  const values: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  if (text === "") return values;
  const pairs = text.split("&");
  if (pairs.length > PARAMETERS_MAX) throw new MicError("usage", "the query has too many parameters");
  for (const pair of pairs) {
    if (pair === "") continue;
    const mark = pair.indexOf("=");
    const name = decode(mark === -1 ? pair : pair.slice(0, mark));
    const value = mark === -1 ? "" : decode(pair.slice(mark + 1));
    if (!known.has(name)) throw unknownParameter(name, known);
    const before = values[name];
    if (repeatable.has(name)) {
      if (before === undefined) values[name] = [value];
      else (before as string[]).push(value);
    } else if (before !== undefined) {
      throw new MicError("usage", `the query parameter ${JSON.stringify(name)} is given twice`);
    } else values[name] = value;
  }
  return values;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.includes("+") ? text.replaceAll("+", "%20") : text);
  } catch (cause) {
    throw new MicError("usage", "the query is not valid percent-encoded UTF-8", { cause });
  }
}

function unknownParameter(name: string, known: ReadonlySet<string>): MicError {
  const hint = known.size === 0 ? "it takes none" : `it takes ${[...known].join(", ")}`;
  return new MicError("usage", `there is no query parameter ${JSON.stringify(name.slice(0, 100))}`, { hint });
}
