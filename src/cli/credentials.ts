/**
 * What `mic auth login` keeps: one file for each server, `credentials/HOST_PORT.json` in the configuration directory,
 * for its owner only (0600). A token is handed out for its exact origin and for nothing else.
 *
 * | member | meaning |
 * | --- | --- |
 * | origin | `https://forge.example.org` |
 * | token | what calls carry |
 * | refreshToken | gets the next token; absent for a token that a person gave |
 * | expiresAt | of `token`, RFC 3339 by this machine's clock; absent: never, or not known |
 * | scope | `read`, `write` or `admin`; absent where not known |
 * | account | `{"name", "email"?}`: whose token it is; absent where the server did not say |
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { MicError } from "../core/base/errors.ts";
import { homeDirectory, requireHomeDirectory } from "./config.ts";
import { usageError } from "./errors.ts";
import { replaceFile } from "./replace-file.ts";
import { parseServerUrl } from "./server-url.ts";
import type { CommandLineWorld } from "./world.ts";

export interface CredentialAccount {
  readonly name: string;
  readonly email?: string;
}

export interface Credential {
  readonly origin: string;
  readonly token: string;
  readonly refreshToken?: string;
  readonly expiresAt?: string;
  readonly scope?: string;
  readonly account?: CredentialAccount;
}

export type TokenOrigin = "MIC_TOKEN" | "login";

const TOKEN_CHARACTERS_MAX = 4096;
const TOKEN = /^[\x21-\x7e]+$/;

type World = Pick<CommandLineWorld, "cwd" | "env" | "platform">;

/** Errors: `usage` where no home is known. */
export function credentialsDirectory(world: World): string {
  return path.join(requireHomeDirectory(world), "credentials");
}

/** Nobody can have signed in where nothing can be kept. */
function hasDirectory(world: World): boolean {
  return homeDirectory(world) !== undefined;
}

/** Errors: `usage` for what cannot be sent in a header. */
export function checkToken(token: string, what: string): string {
  if (token === "") throw usageError(`${what} is empty`);
  if (!isToken(token)) {
    throw usageError(`${what} is not a token: it must be printable ASCII without spaces`);
  }
  return token;
}

function isToken(text: unknown): text is string {
  return typeof text === "string" && text.length <= TOKEN_CHARACTERS_MAX && TOKEN.test(text);
}

/** Undefined when nobody signed in to that server. Errors: `usage` for a damaged file. */
export function readCredential(world: World, origin: string): Credential | undefined {
  if (!hasDirectory(world)) return undefined;
  const stored = readFile(fileOf(world, origin));
  return stored?.origin === origin ? stored : undefined;
}

/** Replaces what was there, and is on the disk when this returns. */
export function storeCredential(world: World, credential: Credential): void {
  replaceFile(fileOf(world, credential.origin), `${JSON.stringify(credential)}\n`);
}

/** For the lock of one that is not there yet. */
export function makeCredentialsDirectory(world: World): void {
  mkdirSync(credentialsDirectory(world), { recursive: true, mode: 0o700 });
}

/** False when there was none. */
export function removeCredential(world: World, origin: string): boolean {
  if (!hasDirectory(world)) return false;
  const file = fileOf(world, origin);
  if (readFile(file)?.origin !== origin) return false;
  rmSync(file, { force: true });
  return true;
}

/** Who changes a server's credential holds this file's lock. */
export function credentialLockPath(world: World, origin: string): string {
  return fileOf(world, origin).replace(/\.json$/, ".lock");
}

/** Origins with a stored token, sorted. */
export function listCredentials(world: World): readonly string[] {
  if (!hasDirectory(world)) return [];
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
    .map((name) => readFile(path.join(directory, name))?.origin)
    .filter((origin) => origin !== undefined)
    .sort();
}

/** Two origins may share a name only if they differ in scheme; the content says whose it is. */
function fileOf(world: World, origin: string): string {
  const { hostname, port, protocol } = new URL(origin);
  const name = `${hostname}_${port === "" ? (protocol === "https:" ? "443" : "80") : port}`;
  return path.join(credentialsDirectory(world), `${name.replace(/[^a-z0-9._-]/g, "_")}.json`);
}

function readFile(file: string): Credential | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw damaged(file, cause);
  }
  const credential = toCredential(value);
  if (credential === undefined) throw damaged(file, undefined);
  return credential;
}

function toCredential(value: unknown): Credential | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { origin, token, refreshToken, expiresAt, scope, account } = value as Record<string, unknown>;
  if (typeof origin !== "string" || !isOrigin(origin) || !isToken(token)) return undefined;
  if (refreshToken !== undefined && !isToken(refreshToken)) return undefined;
  const owner = toAccount(account);
  return {
    origin,
    token,
    ...(refreshToken === undefined ? {} : { refreshToken }),
    ...(typeof expiresAt === "string" && !Number.isNaN(Date.parse(expiresAt)) ? { expiresAt } : {}),
    ...(typeof scope === "string" ? { scope } : {}),
    ...(owner === undefined ? {} : { account: owner }),
  };
}

function toAccount(value: unknown): CredentialAccount | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { name, email } = value as Record<string, unknown>;
  if (typeof name !== "string" || name === "") return undefined;
  return { name, ...(typeof email === "string" && email !== "" ? { email } : {}) };
}

function isOrigin(text: string): boolean {
  return URL.canParse(text) && parseServerUrl(text).origin === text;
}

function damaged(file: string, cause: unknown): MicError {
  return new MicError("usage", `${file} does not hold a server's token`, {
    hint: "remove it and sign in again: mic auth login --server URL",
    ...(cause === undefined ? {} : { cause }),
  });
}
