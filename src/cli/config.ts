/**
 * The configuration: one JSON file of dotted keys, `{"user.name": "Ada"}`, in $MIC_HOME or the platform's
 * configuration directory.
 *
 * | key | meaning |
 * | --- | --- |
 * | user.name, user.email | the author of landings |
 * | server.default | the forge that plain `org/project` names: an address or an alias |
 * | server.NAME | an alias for the address of a forge |
 * | s3.endpoint, s3.region, s3.force-path-style | where buckets are, unless the environment says so |
 * | cache.max-bytes | how much of what was read from buckets is kept on this machine; 0: nothing |
 * | alias.NAME | a command: `alias.st` = `status --verbose` |
 * | ui.color | `always`, `never`, `auto` |
 * | ui.pager, ui.editor | command lines; `never` for no pager |
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { MicError } from "../core/base/errors.ts";
import { absoluteOf, homeOf } from "../core/base/home.ts";
import type { S3Defaults } from "../core/store/s3/environment.ts";
import { usageError } from "./errors.ts";
import { replaceFile } from "./replace-file.ts";
import type { CommandLineWorld } from "./world.ts";

export type ConfigValues = Readonly<Record<string, string>>;

const FIXED_KEYS = [
  "user.name",
  "user.email",
  "server.default",
  "s3.endpoint",
  "s3.region",
  "s3.force-path-style",
  "cache.max-bytes",
  "ui.color",
  "ui.pager",
  "ui.editor",
];
const FAMILIES = /^(?:server|alias)\.[A-Za-z0-9][A-Za-z0-9_-]*$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they may not be stored
const CONTROL = /[\u0000-\u001f\u007f]/;

type World = Pick<CommandLineWorld, "cwd" | "env" | "platform">;

/**
 * Where `mic` keeps what belongs to a person rather than to a workspace. Undefined where no home is known: then
 * nothing is read and nothing is kept.
 */
export function homeDirectory(world: World): string | undefined {
  const own = world.env["MIC_HOME"];
  if (own !== undefined && own !== "") return path.resolve(world.cwd(), own);
  const directory = platformDirectory(world);
  return directory === undefined ? undefined : path.join(directory, "mic");
}

function platformDirectory({ env, platform }: World): string | undefined {
  const home = homeOf(env);
  const below = (...parts: string[]) => (home === undefined ? undefined : path.join(home, ...parts));
  if (platform === "win32") return absoluteOf(env, "APPDATA") ?? below("AppData", "Roaming");
  if (platform === "darwin") return below("Library", "Application Support");
  return absoluteOf(env, "XDG_CONFIG_HOME") ?? below(".config");
}

/** For what is to be kept. Errors: `usage` where no home is known. */
export function requireHomeDirectory(world: World): string {
  const directory = homeDirectory(world);
  if (directory !== undefined) return directory;
  throw usageError("no home directory is known to keep this in", "export MIC_HOME=/a/directory, or HOME");
}

/** Errors: `usage` where no home is known. */
export function configPath(world: World): string {
  return path.join(requireHomeDirectory(world), "config.json");
}

/** Empty when there is no file. Errors: `usage` when it is not what `mic config set` writes. */
export function loadConfig(file: string): ConfigValues {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return {};
    throw error;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new MicError("usage", `${file} is not valid JSON`, { hint: "correct or remove it", cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw usageError(`${file} does not hold a JSON object`, "correct or remove it");
  }
  for (const [key, item] of Object.entries(value)) {
    if (typeof item !== "string") throw usageError(`${key} in ${file} is not a text`, "correct or remove it");
  }
  return value as ConfigValues;
}

/** Where buckets are, for whatever opens one: after flags and variables. */
export function bucketDefaults(config: ConfigValues): S3Defaults {
  const { "s3.endpoint": endpoint, "s3.region": region, "s3.force-path-style": forcePathStyle } = config;
  return {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(forcePathStyle === undefined ? {} : { forcePathStyle }),
  };
}

/** Sets (or with undefined removes) one key; the file is replaced in one rename. */
export function storeConfigValue(file: string, key: string, value: string | undefined): void {
  checkKey(key);
  if (value !== undefined) checkValue(key, value);
  const { [key]: _previous, ...rest } = loadConfig(file);
  const values = value === undefined ? rest : { ...rest, [key]: value };
  const sorted = Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)));
  replaceFile(file, `${JSON.stringify(sorted, null, 2)}\n`);
}

export function checkKey(key: string): void {
  if (FIXED_KEYS.includes(key) || FAMILIES.test(key)) return;
  throw usageError(
    `${JSON.stringify(key)} is not a configuration key`,
    `keys: ${FIXED_KEYS.join(", ")}, server.NAME, alias.NAME`,
  );
}

function checkValue(key: string, value: string): void {
  if (CONTROL.test(value)) throw usageError(`the value of ${key} contains control characters`);
  if (key === "ui.color" && !["always", "never", "auto"].includes(value)) {
    throw usageError("ui.color is always, never or auto");
  }
  if (key === "cache.max-bytes" && !/^\d{1,15}$/.test(value)) {
    throw usageError("cache.max-bytes is a number of bytes");
  }
  if ((key === "user.name" || key === "user.email") && /[<>]/.test(value)) {
    throw usageError(`${key} cannot contain < or >`);
  }
}
