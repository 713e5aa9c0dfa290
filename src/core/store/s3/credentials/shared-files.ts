/** `~/.aws/config` and `~/.aws/credentials`, as one set of profiles. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { homeOf } from "../../../base/home.ts";
import type { Environment } from "../environment.ts";
import { type IniSections, parseIni } from "./ini.ts";
import { brokenSource } from "./source.ts";

export type Profile = Readonly<Record<string, string>>;

export interface SharedFiles {
  /** Undefined when neither file has it. */
  profile(name: string): Profile | undefined;
  /** The section that a profile names by its `services`. */
  services(name: string): Profile | undefined;
  /** The two files, for messages. */
  readonly description: string;
}

const FILE_BYTES_MAX = 4 << 20;

/**
 * A missing file is an empty one, and so are both where no home is known: a profile may name a program to run, so the
 * files are the user's or none. Errors: `unauthenticated` for one that cannot be read.
 */
export function readSharedFiles(env: Environment): SharedFiles {
  const home = homeOf(env);
  const ofHome = (name: string) => (home === undefined ? undefined : join(home, ".aws", name));
  const credentialsFile = env["AWS_SHARED_CREDENTIALS_FILE"] || ofHome("credentials");
  const configFile = env["AWS_CONFIG_FILE"] || ofHome("config");
  const credentials = readIni(credentialsFile);
  const config = readIni(configFile);
  const shown = (file: string | undefined, name: string) => file ?? `~/.aws/${name} (HOME is not set)`;
  return {
    description: `${shown(credentialsFile, "credentials")} and ${shown(configFile, "config")}`,
    profile(name) {
      const fromConfig = config.get(`profile ${name}`) ?? (name === "default" ? config.get(name) : undefined);
      const fromCredentials = credentials.get(name);
      if (fromConfig === undefined && fromCredentials === undefined) return undefined;
      return { ...fromConfig, ...fromCredentials };
    },
    services: (name) => config.get(`services ${name}`),
  };
}

/** AWS_PROFILE, else `default`. */
export function profileName(env: Environment): string {
  return env["AWS_PROFILE"] || env["AWS_DEFAULT_PROFILE"] || "default";
}

function readIni(file: string | undefined): IniSections {
  if (file === undefined) return new Map();
  try {
    const bytes = readFileSync(file);
    if (bytes.length > FILE_BYTES_MAX)
      throw brokenSource(`${file} is larger than a list of profiles`, "mend it");
    return parseIni(bytes.toString("utf8"));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return new Map();
    if (code === undefined || code === "unauthenticated") throw error;
    throw brokenSource(
      `${file} cannot be read (${code})`,
      `chmod 600 ${file}, or unset what names it`,
      error,
    );
  }
}
