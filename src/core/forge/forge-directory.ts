/** The embedded forge: the service in this process, over a local directory. */
import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import { isFreeForStore, isLocalStore } from "../store/is-local-store.ts";
import type { Forge } from "./forge.ts";

export interface OpenDirectoryForge {
  readonly clock: Clock;
  readonly random: Random;
  /** Makes the directory and its store when they are missing. */
  readonly create: boolean;
  /** Pack cache of each open project, in bytes. */
  readonly cacheBytes?: number;
  /** Of the caches of all projects. */
  readonly cacheBytesTotal?: number;
  /**
   * Whoever calls is this process itself, so that its content need not be hashed again (the default). A server
   * passes content on that it was sent, and trusts nobody.
   */
  readonly trustWriters?: boolean;
}

/** Cheap: looks for one file, and loads neither the database engine nor the forge. */
export function isForgeDirectory(path: string): boolean {
  return isLocalStore(path);
}

/** Nothing is there that a new forge would disturb. */
export function isFreeForForge(path: string): boolean {
  return isFreeForStore(path);
}

/**
 * Errors: `not-found` when there is no forge and `create` is false, and those of opening the store. The address
 * is the directory as it was given.
 */
export async function openDirectoryForge(directory: string, options: OpenDirectoryForge): Promise<Forge> {
  const { clock, random, create, cacheBytes, cacheBytesTotal, trustWriters = true } = options;
  // Loaded here, so that asking what a directory is stays cheap.
  const [{ openLocalStore }, { ForgeService }] = await Promise.all([
    import("../store/local-store.ts"),
    import("./service.ts"),
  ]);
  const store = await openLocalStore(directory, { clock, create });
  return new ForgeService({
    store,
    address: directory,
    clock,
    random,
    trustWriters,
    ...(cacheBytes === undefined ? {} : { cacheBytes }),
    ...(cacheBytesTotal === undefined ? {} : { cacheBytesTotal }),
  });
}
