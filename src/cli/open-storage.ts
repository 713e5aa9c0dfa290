/** The store at an address, for commands that work on what is stored itself: a directory, or a bucket. */
import path from "node:path";
import { isMicError, MicError } from "../core/base/errors.ts";
import { systemClock } from "../core/base/system.ts";
import { isForgeDirectory, isFreeForForge } from "../core/forge/forge-directory.ts";
import { NAMES_PREFIX } from "../core/objects/keys.ts";
import type { ObjectStore } from "../core/store/object-store.ts";
import { parseAddress, resolveForge, resolveProject } from "./address.ts";
import { formatBucketForge, isBucketAddress, parseBucketAddress } from "./bucket-address.ts";
import { usageError } from "./errors.ts";
import type { Invocation } from "./invocation.ts";
import { openStore, probeOnce } from "./open-bucket.ts";
import { isServerUrl } from "./server-url.ts";

export interface OpenedStore {
  readonly store: ObjectStore;
  /** A directory, or `s3://bucket/prefix`. */
  readonly address: string;
  /** `org/project`, when the address goes on to name one. */
  readonly project: string | undefined;
}

/**
 * What is there: a forge, a project in one, a workspace (which stands for its project). The caller disposes of the
 * store. Errors: `usage` for a server, `not-found`.
 */
export async function openExistingStore(invocation: Invocation, text: string): Promise<OpenedStore> {
  const { addresses } = invocation;
  const expanded = addresses.alias(text) ?? text;
  if (isBucketAddress(expanded)) return await openInBucket(invocation, expanded);
  const address = parseAddress(expanded, addresses.cwd);
  if (address.kind === "directory" && (await addresses.isForgeDirectory(address.path))) {
    return { store: await openLocal(address.path, false), address: address.path, project: undefined };
  }
  const { forge, project } = await resolveProject(expanded, addresses);
  return { ...(await openForgeStore(invocation, forge)), project };
}

/** The store of a forge's address, as a workspace remembers it. */
export async function openForgeStore(
  invocation: Invocation,
  forge: string,
): Promise<Pick<OpenedStore, "store" | "address">> {
  refuseServer(forge);
  const store = isBucketAddress(forge) ? await openStore(invocation, forge) : await openLocal(forge, false);
  return { store, address: forge };
}

/**
 * Where something is to be moved to: a bucket is probed first, a missing or empty directory becomes a forge. `project`
 * at the end of the address is left out: it keeps its name.
 */
export async function openTargetStore(
  invocation: Invocation,
  text: string,
  project: string | undefined,
): Promise<Pick<OpenedStore, "store" | "address">> {
  const { addresses } = invocation;
  const expanded = addresses.alias(text) ?? text;
  const ending = project === undefined ? undefined : `/${project}`;
  const trimmed = expanded.replace(/\/+$/, "");
  const named =
    ending !== undefined && trimmed.endsWith(ending) ? trimmed.slice(0, -ending.length) : expanded;
  const address = parseAddress(named, addresses.cwd);
  if (address.kind === "directory") {
    if (!isForgeDirectory(address.path) && !isFreeForForge(address.path)) {
      throw usageError(
        `there is no forge in ${address.path}`,
        "name a directory that is missing or empty, or a forge",
      );
    }
    return { store: await openLocal(address.path, true), address: address.path };
  }
  const forge = await resolveForge(named, addresses);
  refuseServer(forge);
  if (!isBucketAddress(forge)) return { store: await openLocal(forge, true), address: forge };
  const store = await openStore(invocation, forge);
  try {
    await probeOnce(invocation, forge, store);
    return { store, address: forge };
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
}

/** A bucket does not say where a forge ends: the whole address is one when names are below it. */
async function openInBucket(invocation: Invocation, text: string): Promise<OpenedStore> {
  const { bucket, parts } = parseBucketAddress(text);
  const whole = formatBucketForge(bucket, parts);
  const store = await openStore(invocation, whole);
  try {
    const options = { limit: 1, signal: invocation.signal };
    if (parts.length < 2 || (await store.list(NAMES_PREFIX, options)).objects.length > 0) {
      return { store, address: whole, project: undefined };
    }
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
  await store[Symbol.asyncDispose]();
  const forge = formatBucketForge(bucket, parts.slice(0, -2));
  const project = parts.slice(-2).join("/");
  return { store: await openStore(invocation, forge), address: forge, project };
}

/**
 * For a forge that holds nothing: one level of a bucket looks like another, so the address may be that of a project.
 * Errors: `usage` when it is.
 */
export async function refuseProjectAddress(invocation: Invocation, forge: string): Promise<void> {
  if (!isBucketAddress(forge)) return;
  const { bucket, parts } = parseBucketAddress(forge);
  if (parts.length < 2) return;
  const above = formatBucketForge(bucket, parts.slice(0, -2));
  const name = parts.slice(-2).join("/");
  try {
    await (await invocation.openForge(above)).getProject(name, { signal: invocation.signal });
  } catch (error) {
    // What is no name of a project is none's address either.
    if (isMicError(error, "not-found") || isMicError(error, "usage")) return;
    throw error;
  }
  throw usageError(`${forge} names a project`, `name its forge: ${above}`);
}

async function openLocal(directory: string, create: boolean): Promise<ObjectStore> {
  const { openLocalStore } = await import("../core/store/local-store.ts");
  try {
    return await openLocalStore(path.resolve(directory), { clock: systemClock, create });
  } catch (error) {
    if (!isMicError(error, "not-found")) throw error;
    throw new MicError("not-found", `there is no forge in ${directory}`, {
      hint: "check the address",
      cause: error,
    });
  }
}

function refuseServer(forge: string): void {
  if (!isServerUrl(forge)) return;
  throw usageError(
    `${forge} is a server: its store is not at hand`,
    "name the directory or the bucket that it serves; `mic publish` moves a project to a server",
  );
}
