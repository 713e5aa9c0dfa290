/**
 * Tokens, one file for each server: `credentials/HOST_PORT.json` in the configuration directory, for its owner
 * only (0600), `{"origin": "https://forge.example.org", "token": "…"}`. A token is handed out for its exact origin
 * and for nothing else.
 */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { MicError } from "../core/base/errors.ts";
import { homeDirectory } from "./config.ts";
import { usageError } from "./errors.ts";
import { replaceFile } from "./replace-file.ts";
import { parseServerUrl } from "./server-url.ts";
import type { CommandLineWorld } from "./world.ts";

export interface Credential {
  readonly origin: string;
  readonly token: string;
}

export type TokenSource = "MIC_TOKEN" | "login";

const TOKEN_CHARACTERS_MAX = 4096;

export function credentialsDirectory(world: CommandLineWorld): string {
  return path.join(homeDirectory(world), "credentials");
}

/** Errors: `usage` for what cannot be sent in a header. */
export function checkToken(token: string, what: string): string {
  if (token === "") throw usageError(`${what} is empty`);
  if (token.length > TOKEN_CHARACTERS_MAX || !/^[\x21-\x7e]+$/.test(token)) {
    throw usageError(`${what} is not a token: it must be printable ASCII without spaces`);
  }
  return token;
}

/**
 * MIC_TOKEN wins over what `mic auth login` stored. It is for the server that MIC_SERVER means (`meant`), else for
 * the one that the command names.
 */
export function findToken(
  world: CommandLineWorld,
  origin: string,
  meant: string | undefined,
): { readonly token: string; readonly source: TokenSource } | undefined {
  const given = world.env["MIC_TOKEN"];
  if (given !== undefined && given !== "" && (meant === undefined || meant === origin)) {
    return { token: checkToken(given.trim(), "MIC_TOKEN"), source: "MIC_TOKEN" };
  }
  const stored = readCredential(fileOf(world, origin));
  if (stored === undefined || stored.origin !== origin) return undefined;
  return { token: stored.token, source: "login" };
}

export function storeCredential(world: CommandLineWorld, credential: Credential): void {
  replaceFile(fileOf(world, credential.origin), `${JSON.stringify(credential)}\n`);
}

/** False when there was none. */
export function removeCredential(world: CommandLineWorld, origin: string): boolean {
  const file = fileOf(world, origin);
  if (readCredential(file)?.origin !== origin) return false;
  rmSync(file, { force: true });
  return true;
}

/** Origins with a stored token, sorted. */
export function listCredentials(world: CommandLineWorld): readonly string[] {
  const directory = credentialsDirectory(world);
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return names
    .filter((name) => name.endsWith(".json"))
    .map((name) => readCredential(path.join(directory, name))?.origin)
    .filter((origin) => origin !== undefined)
    .sort();
}

/** Two origins may share a name only if they differ in scheme; the content says whose it is. */
function fileOf(world: CommandLineWorld, origin: string): string {
  const { hostname, port, protocol } = new URL(origin);
  const name = `${hostname}_${port === "" ? (protocol === "https:" ? "443" : "80") : port}`;
  return path.join(credentialsDirectory(world), `${name.replace(/[^a-z0-9._-]/g, "_")}.json`);
}

function readCredential(file: string): Credential | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const { origin, token } = JSON.parse(text) as Record<string, unknown>;
    if (typeof origin === "string" && typeof token === "string" && parseServerUrl(origin).origin === origin) {
      return { origin, token };
    }
  } catch (cause) {
    throw damaged(file, cause);
  }
  throw damaged(file, undefined);
}

function damaged(file: string, cause: unknown): MicError {
  return new MicError("usage", `${file} does not hold a server's token`, {
    hint: "remove it and sign in again: mic auth login --server URL --token TOKEN",
    ...(cause === undefined ? {} : { cause }),
  });
}
