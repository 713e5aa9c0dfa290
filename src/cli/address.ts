/**
 * Addresses of projects and forges as people write them:
 *
 * - `http(s)://host/org/project`, `s3://bucket[/prefix]/org/project`
 * - a directory (anything that starts with `/`, `./`, `../`, `file:`, or a drive letter): a forge directory with
 *   `/org/project` after it, or a workspace, which stands for the project it belongs to
 * - plain `org/project`, looked up at a server
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { MicError } from "../core/base/errors.ts";
import { isBucketAddress, parseBucketForge, parseBucketProject } from "./bucket-address.ts";
import { usageError } from "./errors.ts";
import { parseServerUrl } from "./server-url.ts";

export type Address =
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "remote"; readonly url: string }
  | { readonly kind: "plain"; readonly name: string };

/** A project in a forge that can be opened. */
export interface ProjectAddress {
  /** What `WorkspaceContext.openForge` takes: an absolute directory, a server's origin, or `s3://bucket[/prefix]`. */
  readonly forge: string;
  /** `org/project`. */
  readonly project: string;
}

export interface AddressContext {
  readonly cwd: string;
  /** `--server`, MIC_SERVER or the configured default; undefined for none. */
  readonly server: string | undefined;
  /** `server.NAME` of the configuration. */
  alias(name: string): string | undefined;
  isForgeDirectory(directory: string): Promise<boolean>;
  /** The project of the workspace whose root `directory` is. */
  readWorkspace(directory: string): Promise<ProjectAddress>;
}

const DIRECTORY = /^(?:\/|\.{1,2}(?:[/\\]|$)|file:|[A-Za-z]:[/\\]|\\\\)/;
const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//;
const ALIAS_DEPTH_MAX = 5;

/** Only the shape is checked. Errors: `usage`. */
export function parseAddress(text: string, cwd: string): Address {
  if (text === "") throw usageError("the address is empty");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\u0000-\u001f\u007f]/.test(text)) throw usageError("the address contains control characters");
  if (DIRECTORY.test(text)) return { kind: "directory", path: toDirectory(text, cwd) };
  const scheme = SCHEME.exec(text)?.[1]?.toLowerCase();
  if (scheme === "http" || scheme === "https" || scheme === "s3") return { kind: "remote", url: text };
  if (scheme !== undefined) {
    throw usageError(
      `addresses that start with ${scheme}:// are unknown`,
      "use http(s)://, s3:// or a directory",
    );
  }
  return { kind: "plain", name: text };
}

function toDirectory(text: string, cwd: string): string {
  if (!text.startsWith("file:")) return path.resolve(cwd, text);
  try {
    return path.resolve(fileURLToPath(text));
  } catch (cause) {
    throw new MicError("usage", `${text} is not a file URL`, { hint: "write file:///absolute/path", cause });
  }
}

/**
 * The forge and the project that `text` names; a server or a bucket is not asked. Errors: `usage`, `not-found` when
 * nothing is there.
 */
export async function resolveProject(text: string, context: AddressContext): Promise<ProjectAddress> {
  const address = parseAddress(text, context.cwd);
  switch (address.kind) {
    case "remote":
      return resolveRemote(address.url);
    case "directory":
      return await resolveDirectory(address.path, context);
    case "plain":
      return await resolvePlain(address.name, context);
  }
}

/** The forge that an address or an alias names, without a project. */
export async function resolveForge(text: string, context: AddressContext): Promise<string> {
  const address = parseAddress(expandAlias(text, context), context.cwd);
  if (address.kind === "remote") return resolveServer(address.url);
  if (address.kind === "plain") {
    throw usageError(
      `${JSON.stringify(text)} is neither an address nor a configured alias`,
      `write ./${text} for a directory, or \`mic config set server.${text} ADDRESS\``,
    );
  }
  if (await context.isForgeDirectory(address.path)) return address.path;
  if (isWorkspaceRoot(address.path)) return (await context.readWorkspace(address.path)).forge;
  throw new MicError("not-found", `there is no forge in ${address.path}`, { hint: "check the address" });
}

function resolveRemote(url: string): ProjectAddress {
  if (isBucketAddress(url)) return parseBucketProject(url);
  const { origin, path: project } = parseServerUrl(url);
  if (/^[^/]+\/[^/]+$/.test(project)) return { forge: origin, project };
  throw usageError(
    project === "" ? `${origin} is a server; which project?` : `${url} does not name a project`,
    `write ${origin}/org/project`,
  );
}

function resolveServer(url: string): string {
  if (isBucketAddress(url)) return parseBucketForge(url);
  const { origin, path: rest } = parseServerUrl(url);
  if (rest !== "") throw usageError(`${url} is not a server's address: it has a path`, `write ${origin}`);
  return origin;
}

async function resolveDirectory(directory: string, context: AddressContext): Promise<ProjectAddress> {
  if (isWorkspaceRoot(directory)) return await context.readWorkspace(directory);
  const forge = path.dirname(path.dirname(directory));
  const project = `${path.basename(path.dirname(directory))}/${path.basename(directory)}`;
  if (await context.isForgeDirectory(forge)) return { forge, project };
  if (isWorkspaceRoot(forge)) return { forge: (await context.readWorkspace(forge)).forge, project };
  if (await context.isForgeDirectory(directory)) {
    throw usageError(`${directory} is a forge; which project?`, "put /org/project after it");
  }
  throw new MicError("not-found", `${directory} is neither a workspace nor a project in a forge`, {
    hint: "an address is a workspace, or a forge directory with /org/project after it",
  });
}

async function resolvePlain(name: string, context: AddressContext): Promise<ProjectAddress> {
  if (name.startsWith("-"))
    throw usageError(`${JSON.stringify(name)} is not a project's name`, "write org/project");
  if (context.server === undefined) {
    const local = path.resolve(context.cwd, name);
    const hint = existsSync(local)
      ? `for the directory, write ./${name}`
      : "give --server ADDRESS, set MIC_SERVER, or `mic config set server.default ADDRESS`";
    throw usageError(`no server is known to look ${JSON.stringify(name)} up at`, hint);
  }
  return { forge: await resolveForge(context.server, context), project: name };
}

function expandAlias(text: string, context: AddressContext): string {
  let expanded = text;
  for (let depth = 0; depth < ALIAS_DEPTH_MAX; depth++) {
    const next = context.alias(expanded);
    if (next === undefined) return expanded;
    expanded = next;
  }
  throw usageError(`the server alias ${JSON.stringify(text)} leads in a circle`);
}

export function isWorkspaceRoot(directory: string): boolean {
  return existsSync(path.join(directory, ".mic"));
}
