/** One ignore file: its lines as rules, the last that matches decides (gitignore(5)). */
import { compileGlob } from "./glob.ts";

interface Rule {
  readonly negated: boolean;
  readonly directoriesOnly: boolean;
  /** True: compared with the last component only; false: with the path relative to the file's directory. */
  readonly baseName: boolean;
  readonly matches: (text: string) => boolean;
}

export class IgnoreRules {
  readonly #rules: readonly Rule[];
  /** False when no rule looks at more than the last component. */
  readonly needsPath: boolean;

  private constructor(rules: readonly Rule[]) {
    this.#rules = rules;
    this.needsPath = rules.some((rule) => !rule.baseName);
  }

  static parse(text: string): IgnoreRules {
    const rules: Rule[] = [];
    // A byte order mark is not part of the first pattern.
    for (const line of text.replace(/^\ufeff/, "").split("\n")) {
      const rule = parseRule(line.endsWith("\r") ? line.slice(0, -1) : line);
      if (rule !== undefined) rules.push(rule);
    }
    return new IgnoreRules(rules);
  }

  get size(): number {
    return this.#rules.length;
  }

  /** `path` is relative to the rules' directory, `name` its last component. Undefined: no rule says anything. */
  verdict(path: string, name: string, isDirectory: boolean): "ignore" | "keep" | undefined {
    for (let i = this.#rules.length - 1; i >= 0; i--) {
      const rule = this.#rules[i]!;
      if (rule.directoriesOnly && !isDirectory) continue;
      if (rule.matches(rule.baseName ? name : path)) return rule.negated ? "keep" : "ignore";
    }
    return undefined;
  }
}

const SPECIAL = /[*?[\\]/;

function parseRule(line: string): Rule | undefined {
  if (line.startsWith("#")) return undefined;
  let pattern = trimTrailingSpaces(line);
  const negated = pattern.startsWith("!");
  if (negated) pattern = pattern.slice(1);
  const directoriesOnly = pattern.endsWith("/");
  if (directoriesOnly) pattern = pattern.slice(0, -1);
  const baseName = !pattern.includes("/");
  if (!baseName && pattern.startsWith("/")) pattern = pattern.slice(1);
  if (pattern === "") return undefined;
  return { negated, directoriesOnly, baseName, matches: matcher(pattern, baseName) };
}

function matcher(pattern: string, baseName: boolean): (text: string) => boolean {
  const literal = pattern.search(SPECIAL);
  if (literal === -1) return (text) => text === pattern;
  const rest = pattern.slice(1);
  if (baseName && pattern.startsWith("*") && !SPECIAL.test(rest)) return (text) => text.endsWith(rest);
  const prefix = pattern.slice(0, literal);
  // git compares the part before the first wildcard by itself, so a `**` right after it counts as the start.
  const glob = compileGlob(pattern, { crossSlash: baseName, from: literal });
  return (text) => text.startsWith(prefix) && glob.matches(text.slice(literal));
}

/** Spaces at the end do not count unless escaped. */
function trimTrailingSpaces(line: string): string {
  let end = line.length;
  while (end > 0 && line[end - 1] === " ") end--;
  if (end === line.length) return line;
  let backslashes = 0;
  while (end - backslashes > 0 && line[end - backslashes - 1] === "\\") backslashes++;
  return line.slice(0, backslashes % 2 === 1 ? end + 1 : end);
}
