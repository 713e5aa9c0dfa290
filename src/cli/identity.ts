/** Who lands: MIC_AUTHOR, else the configuration's user, else user@host. */
import { hostname, userInfo } from "node:os";
import type { ConfigValues } from "./config.ts";
import { usageError } from "./errors.ts";

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const CONTROL = /[\u0000-\u001f\u007f]/;
const NAME_BYTES_MAX = 256;

export function resolveAuthor(
  env: Readonly<Record<string, string | undefined>>,
  config: ConfigValues,
): string {
  const fromEnvironment = env["MIC_AUTHOR"]?.trim();
  if (fromEnvironment !== undefined && fromEnvironment !== "")
    return checkName("MIC_AUTHOR", fromEnvironment);
  const { "user.name": name, "user.email": email } = config;
  if (name !== undefined && email !== undefined) return `${name} <${email}>`;
  return name ?? email ?? `${systemUser(env)}@${hostname()}`;
}

export function checkAgent(agent: string): string {
  return checkName("--agent", agent.trim());
}

function checkName(what: string, name: string): string {
  if (CONTROL.test(name)) throw usageError(`${what} contains control characters`);
  if (Buffer.byteLength(name) > NAME_BYTES_MAX)
    throw usageError(`${what} is longer than ${NAME_BYTES_MAX} bytes`);
  return name;
}

function systemUser(env: Readonly<Record<string, string | undefined>>): string {
  try {
    return userInfo().username;
  } catch (error) {
    // A container's user may have no entry in the system's list.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT" && code !== "ERR_SYSTEM_ERROR") throw error;
    return env["USER"] ?? env["LOGNAME"] ?? "unknown";
  }
}
