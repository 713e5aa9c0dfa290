/**
 * The first start of a server makes a user `owner`, who administers the site, and a token for it that is shown once.
 * MIC_OWNER_TOKEN stands for that user instead of that token while it is set, and is stored nowhere.
 */
import { readFileSync, rmSync } from "node:fs";
import path from "node:path";
import type { Clock } from "../../core/base/clock.ts";
import { MicError } from "../../core/base/errors.ts";
import type { Random } from "../../core/base/random.ts";
import type { AuthDatabase } from "./database/auth-database.ts";
import { readSetting, writeSetting } from "./settings.ts";
import { mintSecret, SECRET_CHARACTERS_MAX, secretDigest } from "./token-secret.ts";
import { Tokens } from "./tokens.ts";
import { Users } from "./users.ts";

const OWNER_NAME = "owner";
/** Of a token that somebody chose: below it, guessing over the network is thinkable. */
const CHOSEN_CHARACTERS_MIN = 20;

export interface StartOwner {
  readonly dataDirectory: string;
  readonly clock: Clock;
  readonly random: Random;
  /** MIC_OWNER_TOKEN, checked. */
  readonly ownerToken?: string;
}

export function accountsFile(dataDirectory: string): string {
  return path.join(dataDirectory, "auth", "accounts.db");
}

/**
 * Makes the owner where there is none, and its token where there is neither one nor a given one; returns it then. Of
 * two processes that start at once, one makes them. Errors: `corrupt` for a damaged file of an older version.
 */
export function startOwner(
  database: AuthDatabase,
  { dataDirectory, clock, random, ownerToken }: StartOwner,
): string | undefined {
  // One file per data directory, written by versions without accounts: the SHA-256 of the token in hex.
  const file = path.join(dataDirectory, "auth", "owner-token");
  const minted = database.write(() => {
    const nowMs = clock.nowMs();
    const tokens = new Tokens(database, random);
    const owner = readSetting(database, "owner") ?? makeOwner(database, random, nowMs);
    if (readSetting(database, "owner-token") !== undefined) return undefined;
    const stored = readDigest(file);
    if (stored === undefined && ownerToken !== undefined) return undefined;
    const secret = stored === undefined ? mintSecret(random, "personal") : undefined;
    const digest = secret === undefined ? stored! : secretDigest(secret);
    const request = { user: owner, kind: "personal", name: "first start", scope: "admin" } as const;
    writeSetting(database, "owner-token", tokens.insert(request, digest, nowMs).id);
    return secret;
  });
  rmSync(file, { force: true });
  return minted;
}

function makeOwner(database: AuthDatabase, random: Random, nowMs: number): string {
  const users = new Users(database, random);
  const known = users.byLogin(OWNER_NAME);
  const { id } = known ?? users.insert({ name: OWNER_NAME, isSiteAdmin: true }, undefined, nowMs);
  if (known !== undefined) users.setSiteAdmin(id, true);
  writeSetting(database, "owner", id);
  return id;
}

/** Errors: `usage` for a given token that is too short, or cannot be sent in a header. */
export function checkOwnerToken(token: string): void {
  const hint = "make one with: MIC_OWNER_TOKEN=$(openssl rand -base64 32)";
  if (token.length < CHOSEN_CHARACTERS_MIN) {
    throw new MicError("usage", `MIC_OWNER_TOKEN is shorter than ${CHOSEN_CHARACTERS_MIN} characters`, {
      hint,
    });
  }
  if (token.length > SECRET_CHARACTERS_MAX || !/^[\x21-\x7e]+$/.test(token)) {
    throw new MicError("usage", "MIC_OWNER_TOKEN must be printable ASCII without spaces", { hint });
  }
}

function readDigest(file: string): Uint8Array | undefined {
  let text: string;
  try {
    text = readFileSync(file, "latin1");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  if (!/^[0-9a-f]{64}\n$/.test(text)) {
    throw new MicError("corrupt", `${file} does not hold the hash of a token`, {
      hint: "remove it and start again: a new owner token is made",
    });
  }
  return Buffer.from(text.trim(), "hex");
}
