/**
 * Addresses of what need not be there yet: the project that `mic project create` makes and `mic publish` fills, the
 * forge that a listing asks. As in `address.ts`, with two differences: the project may be left out, and a directory
 * that is missing or empty stands for a forge to be made there.
 */
import path from "node:path";
import { isFreeForForge } from "../core/forge/forge-directory.ts";
import {
  type AddressContext,
  isWorkspaceRoot,
  parseAddress,
  resolveForge,
  resolveProject,
} from "./address.ts";
import { isBucketAddress, parseBucketAddress, parseBucketForge } from "./bucket-address.ts";
import { usageError } from "./errors.ts";
import { isServerUrl, parseServerUrl } from "./server-url.ts";

export interface Target {
  /** What `Invocation.openForge` takes. */
  readonly forge: string;
  /** `org/project`, when the address goes on to name one. */
  readonly project: string | undefined;
  /** There is no forge in that directory yet. */
  readonly isNew: boolean;
}

/**
 * `namesForge`: what is missing is a forge, not a project in one. Errors: `usage`, `not-found` for a directory with
 * something else in it.
 */
export async function resolveTarget(
  text: string,
  context: AddressContext,
  options: { readonly namesForge: boolean },
): Promise<Target> {
  const address = parseAddress(text, context.cwd);
  switch (address.kind) {
    case "remote":
      return await resolveRemote(address.url, context, options.namesForge);
    case "directory":
      return await resolveDirectory(address.path, context, options.namesForge);
    case "plain": {
      if (!address.name.includes("/")) return existing(await resolveForge(address.name, context));
      return { ...(await resolveProject(address.name, context)), isNew: false };
    }
  }
}

function existing(forge: string): Target {
  return { forge, project: undefined, isNew: false };
}

/**
 * A bucket's keys do not say where a forge ends, so the shape decides: at most one part is a prefix, two or more end
 * in a project unless a forge is meant.
 */
async function resolveRemote(url: string, context: AddressContext, namesForge: boolean): Promise<Target> {
  if (isBucketAddress(url) && (namesForge || parseBucketAddress(url).parts.length < 2)) {
    return existing(parseBucketForge(url));
  }
  if (isServerUrl(url) && parseServerUrl(url).path === "") return existing(await resolveForge(url, context));
  return { ...(await resolveProject(url, context)), isNew: false };
}

async function resolveDirectory(
  directory: string,
  context: AddressContext,
  namesForge: boolean,
): Promise<Target> {
  if (await isForge(directory, context)) return existing(await resolveForge(directory, context));
  const above = path.dirname(path.dirname(directory));
  if (await isForge(above, context)) return { ...(await resolveProject(directory, context)), isNew: false };
  if (namesForge) return newForge(directory, undefined);
  if (!isFreeForForge(above) && isFreeForForge(directory)) {
    throw usageError(
      `there is no forge in ${directory} yet; which project?`,
      "put /org/project after it, and the forge is made there",
    );
  }
  return newForge(above, `${path.basename(path.dirname(directory))}/${path.basename(directory)}`);
}

async function isForge(directory: string, context: AddressContext): Promise<boolean> {
  return (await context.isForgeDirectory(directory)) || isWorkspaceRoot(directory);
}

function newForge(directory: string, project: string | undefined): Target {
  if (isFreeForForge(directory)) return { forge: directory, project, isNew: true };
  throw usageError(
    `there is no forge in ${directory}`,
    "name an existing forge, or a directory that is missing or empty to make one there",
  );
}
