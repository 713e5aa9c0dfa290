/**
 * What a command read from a bucket, kept for the commands after it: a directory of the user's, bounded by
 * `cache.max-bytes` (0: none), and a CDN where STORAGE_CDN_BASE_URL names one.
 */
import path from "node:path";
import { absoluteOf, homeOf } from "../core/base/home.ts";
import { systemClock, systemRandom } from "../core/base/system.ts";
import { cacheScopeOfKey } from "../core/objects/keys.ts";
import { type CachedStore, type CacheOptions, openCachedStore } from "../core/store/cache/cached-store.ts";
import type { ObjectStore } from "../core/store/object-store.ts";
import { usageError } from "./errors.ts";
import type { Invocation } from "./invocation.ts";
import type { CommandLineWorld } from "./world.ts";

const BYTES_MAX_DEFAULT = 2 * 2 ** 30;
const CDN_TIMEOUT_MS_DEFAULT = 2000;

/** `identity`: which store it is, among all that the user has. Errors: `usage` for settings that cannot be. */
export function cacheBucket(invocation: Invocation, store: ObjectStore, identity: string): CachedStore {
  const { world, config, output } = invocation;
  const bytesMax = parseCount(config["cache.max-bytes"], "cache.max-bytes") ?? BYTES_MAX_DEFAULT;
  const cdn = readCdn(world.env);
  const directory = cacheDirectory(world);
  return openCachedStore(store, {
    scopeOf: cacheScopeOfKey,
    identity,
    clock: systemClock,
    ...(bytesMax === 0 || directory === undefined
      ? {}
      : {
          disk: {
            directory,
            bytesMax,
            clock: systemClock,
            random: systemRandom,
            warn: (message) => output.warn(message),
          },
        }),
    ...(cdn === undefined ? {} : { cdn }),
  });
}

/** `$MIC_HOME/cache`, else where the platform keeps what can be made again. Undefined where no home is known. */
export function cacheDirectory({
  env,
  platform,
  cwd,
}: Pick<CommandLineWorld, "env" | "platform" | "cwd">): string | undefined {
  const own = env["MIC_HOME"];
  if (own !== undefined && own !== "") return path.resolve(cwd(), own, "cache");
  const home = homeOf(env);
  const below = (...parts: string[]) => (home === undefined ? undefined : path.join(home, ...parts));
  if (platform === "win32") {
    const local = absoluteOf(env, "LOCALAPPDATA") ?? below("AppData", "Local");
    return local === undefined ? undefined : path.join(local, "mic", "cache");
  }
  const caches =
    platform === "darwin"
      ? below("Library", "Caches")
      : (absoluteOf(env, "XDG_CACHE_HOME") ?? below(".cache"));
  return caches === undefined ? undefined : path.join(caches, "mic");
}

function readCdn(env: CommandLineWorld["env"]): CacheOptions["cdn"] {
  const baseUrl = env["STORAGE_CDN_BASE_URL"];
  if (baseUrl === undefined || baseUrl === "") return undefined;
  const timeoutMs = parseCount(env["STORAGE_CDN_TIMEOUT_MS"], "STORAGE_CDN_TIMEOUT_MS");
  return { baseUrl, timeoutMs: timeoutMs ?? CDN_TIMEOUT_MS_DEFAULT, fetch: (url, init) => fetch(url, init) };
}

function parseCount(text: string | undefined, name: string): number | undefined {
  if (text === undefined || text === "") return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw usageError(
    `${name} is not a whole number: ${JSON.stringify(text)}`,
    `${name} counts bytes or milliseconds`,
  );
}
