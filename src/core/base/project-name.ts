/**
 * Project names: `org/project`. Both parts are `[a-z0-9][a-z0-9._-]*` so that a name is safe as a store key, a
 * directory, a URL path and a command line argument on every platform, and two names that look the same are
 * the same.
 */
import { MicError } from "./errors.ts";

export interface ProjectName {
  readonly org: string;
  readonly project: string;
}

export const ORG_NAME_LENGTH_MAX = 64;
export const PROJECT_NAME_LENGTH_MAX = 100;

const PART = /^[a-z0-9][a-z0-9._-]*$/;
/** Device names that Windows finds in every directory, whatever the extension. */
const DEVICE = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/;
/** First path segments that a server keeps for itself. */
const RESERVED_ORGS: ReadonlySet<string> = new Set([
  "api",
  "assets",
  "favicon.ico",
  "healthz",
  "llms.txt",
  "login",
  "logout",
  "metrics",
  "new",
  "oauth",
  "readyz",
  "robots.txt",
  "settings",
  "skill.md",
  "static",
]);

/** `usage` with the reason when `text` is not a valid `org/project`. */
export function parseProjectName(text: string): ProjectName {
  const parts = text.split("/");
  if (parts.length !== 2) throw invalid(text, "is not of the form org/project");
  const [org, project] = parts as [string, string];
  const problem = findOrgProblem(org) ?? findPartProblem(project, "project", PROJECT_NAME_LENGTH_MAX);
  if (problem !== undefined) throw invalid(text, problem);
  return { org, project };
}

/** `usage` when `text` is not a valid organization name. */
export function parseOrgName(text: string): string {
  const problem = findOrgProblem(text);
  if (problem === undefined) return text;
  throw new MicError("usage", `organization name ${quoted(text)} ${problem}`, {
    hint: "use lower case letters, digits, dots, dashes and underscores",
  });
}

export function formatProjectName(name: ProjectName): string {
  return `${name.org}/${name.project}`;
}

/** A valid name part made of any text, e.g. of a directory's name; `project` when nothing of it can be used. */
export function suggestNamePart(text: string): string {
  const cleaned = text
    .normalize("NFKD")
    .replace(/\p{M}+/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/\.{2,}/g, ".")
    .replace(/^[^a-z0-9]+/, "")
    .slice(0, ORG_NAME_LENGTH_MAX)
    .replace(/[^a-z0-9]+$/, "");
  return findPartProblem(cleaned, "project", ORG_NAME_LENGTH_MAX) === undefined ? cleaned : "project";
}

function findOrgProblem(org: string): string | undefined {
  const problem = findPartProblem(org, "organization", ORG_NAME_LENGTH_MAX);
  if (problem !== undefined || !RESERVED_ORGS.has(org)) return problem;
  return `uses the reserved organization name ${JSON.stringify(org)}`;
}

function findPartProblem(part: string, what: string, lengthMax: number): string | undefined {
  if (part === "") return `has an empty ${what}`;
  if (part.length > lengthMax) return `has a ${what} longer than ${lengthMax} characters`;
  if (part !== part.toLowerCase()) return `has upper case letters in the ${what}`;
  if (!PART.test(part)) {
    return `has a ${what} that is not letters, digits, ".", "_" and "-" after a letter or digit`;
  }
  if (part.includes("..") || part.endsWith(".")) return `has ".." or a final "." in the ${what}`;
  if (DEVICE.test(part)) return `has the device name ${JSON.stringify(part)}`;
  return undefined;
}

const NAME_HINT = "use org/project in lower case letters, digits, dots, dashes and underscores";

function invalid(text: string, problem: string): MicError {
  return new MicError("usage", `project name ${quoted(text)} ${problem}`, { hint: NAME_HINT });
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
