/**
 * The owner token: one secret of 256 random bits that every call must carry. The file holds the token's SHA-256
 * in hex and a line break, so that who reads the data directory cannot call the server; a plain hash is enough
 * because a random token cannot be guessed from it.
 */
import { hash, timingSafeEqual } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { bytesToHex } from "../../core/base/bytes.ts";
import { MicError } from "../../core/base/errors.ts";
import type { Random } from "../../core/base/random.ts";
import type { Principal } from "../context.ts";

const TOKEN_PREFIX = "mic_";
const TOKEN_RANDOM_BYTES = 32;
/** Of a token that somebody chose: below it, guessing over the network is thinkable. */
const CHOSEN_CHARACTERS_MIN = 20;
const TOKEN_CHARACTERS_MAX = 4096;
const OWNER: Principal = { account: "owner" };

export interface OwnerToken {
  /** The token, when this call made it; it cannot be read again. */
  readonly minted: string | undefined;
  /** SHA-256 of the token. */
  readonly digest: Uint8Array;
}

/**
 * The token that is valid: `given` when there is one (nothing is stored then), else the stored one, made at the
 * first call. Two processes that start at once agree on one. Errors: `usage` for a given one that is too short or
 * cannot be sent in a header, `corrupt` for a damaged file.
 */
export function openOwnerToken(dataDirectory: string, random: Random, given?: string): OwnerToken {
  if (given !== undefined) return { minted: undefined, digest: sha256(checkGiven(given)) };
  const file = path.join(dataDirectory, "auth", "owner-token");
  const stored = readDigest(file);
  if (stored !== undefined) return { minted: undefined, digest: stored };
  const minted = TOKEN_PREFIX + Buffer.from(random.bytes(TOKEN_RANDOM_BYTES)).toString("base64url");
  const digest = sha256(minted);
  if (createDigest(file, digest, random)) return { minted, digest };
  return { minted: undefined, digest: readDigest(file)! };
}

/** For `ServerContext.authenticate`. Takes the same time for every wrong token. */
export function createAuthenticate(digest: Uint8Array): (authorization: string | undefined) => Principal {
  return (authorization) => {
    if (authorization === undefined) throw unauthenticated("this needs a token");
    const token = /^bearer +([^\s]+)$/i.exec(authorization)?.[1];
    if (token === undefined || token.length > TOKEN_CHARACTERS_MAX) {
      throw unauthenticated("the authorization header holds no bearer token");
    }
    if (!timingSafeEqual(sha256(token), digest)) throw unauthenticated("the token is not valid here");
    return OWNER;
  };
}

function unauthenticated(message: string): MicError {
  return new MicError("unauthenticated", message, {
    hint: "send `authorization: Bearer TOKEN`, or sign in: `mic auth login --server URL --token TOKEN`",
  });
}

function sha256(text: string): Uint8Array {
  return hash("sha256", text, "buffer");
}

function checkGiven(token: string): string {
  const example = "openssl rand -base64 32";
  if (token.length < CHOSEN_CHARACTERS_MIN) {
    throw new MicError("usage", `MIC_OWNER_TOKEN is shorter than ${CHOSEN_CHARACTERS_MIN} characters`, {
      hint: `make one with: MIC_OWNER_TOKEN=$(${example})`,
    });
  }
  if (token.length > TOKEN_CHARACTERS_MAX || !/^[\x21-\x7e]+$/.test(token)) {
    throw new MicError("usage", "MIC_OWNER_TOKEN must be printable ASCII without spaces", {
      hint: `make one with: MIC_OWNER_TOKEN=$(${example})`,
    });
  }
  return token;
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

/** False when another process was first. A crash leaves the whole file or none. */
function createDigest(file: string, digest: Uint8Array, random: Random): boolean {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.${bytesToHex(random.bytes(8))}.tmp`;
  try {
    writeFileSync(temporary, `${bytesToHex(digest)}\n`, { flag: "wx", mode: 0o600, flush: true });
    linkSync(temporary, file);
    syncDirectory(path.dirname(file));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** The token is shown once, so its hash must outlive a power cut. */
function syncDirectory(directory: string): void {
  if (process.platform === "win32") return;
  const handle = openSync(directory, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
