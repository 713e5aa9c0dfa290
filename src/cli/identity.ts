/** Who lands: MIC_AUTHOR, else the account that is signed in, else the configuration's user, else user@host. */
import { readFileSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import type { ConfigValues } from "./config.ts";
import type { CredentialAccount } from "./credentials.ts";
import { usageError } from "./errors.ts";

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const CONTROL = /[\u0000-\u001f\u007f]/;
const NAME_BYTES_MAX = 256;

export function resolveAuthor(
  env: Readonly<Record<string, string | undefined>>,
  config: ConfigValues,
): string {
  const given = givenAuthor(env);
  if (given !== undefined) return given;
  const { "user.name": name, "user.email": email } = config;
  if (name !== undefined && email !== undefined) return `${name} <${email}>`;
  return name ?? email ?? `${systemUser(env)}@${hostname()}`;
}

function givenAuthor(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const given = env["MIC_AUTHOR"]?.trim();
  return given === undefined || given === "" ? undefined : checkName("MIC_AUTHOR", given);
}

/** Undefined where MIC_AUTHOR has the first word, or the account's name cannot be an author's. */
export function accountAuthor(
  env: Readonly<Record<string, string | undefined>>,
  { name, email }: CredentialAccount,
): string | undefined {
  if (givenAuthor(env) !== undefined) return undefined;
  const author = email === undefined ? name : `${name} <${email}>`;
  if (CONTROL.test(author) || /[<>]/.test(name + (email ?? ""))) return undefined;
  return Buffer.byteLength(author) > NAME_BYTES_MAX ? undefined : author;
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

/** USER says who works after `su` without a login; the system's list of users where it is not set. */
function systemUser(env: Readonly<Record<string, string | undefined>>): string {
  const named = env["USER"] ?? env["LOGNAME"] ?? env["USERNAME"];
  if (named !== undefined && named !== "") return named;
  try {
    const { uid, username } = userInfo();
    // Bun reads the environment only, and says `unknown`.
    return username === "unknown" ? (findUser(uid) ?? username) : username;
  } catch (error) {
    // A container's user may have no entry in the system's list.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT" && code !== "ERR_SYSTEM_ERROR") throw error;
    return "unknown";
  }
}

function findUser(uid: number): string | undefined {
  try {
    for (const line of readFileSync("/etc/passwd", "utf8").split("\n")) {
      const [name, , id] = line.split(":");
      if (id === String(uid)) return name;
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT" && code !== "EACCES") throw error;
  }
  return undefined;
}
