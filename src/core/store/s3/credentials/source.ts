/** One place that credentials may come from. */
import { MicError } from "../../../base/errors.ts";
import type { Credentials } from "../credentials-types.ts";

/** Why a source has none; the chain goes on to the next one, and says so when all of them had none. */
export interface NoCredentials {
  readonly missing: string;
}

export interface CredentialProvider {
  /** For messages: `environment`, `profile "work"`. */
  readonly name: string;
  /**
   * Errors: `unauthenticated` when the source was meant to be used and does not work (then the chain ends:
   * another identity than the one that was chosen would be a surprise), `unreachable` when it may work later.
   */
  load(): Promise<Credentials | NoCredentials>;
}

export function isCredentials(loaded: Credentials | NoCredentials): loaded is Credentials {
  return "accessKeyId" in loaded;
}

/** A source that was chosen and does not work. */
export function brokenSource(message: string, hint: string, cause?: unknown): MicError {
  return new MicError("unauthenticated", message, { hint, ...(cause === undefined ? {} : { cause }) });
}

export interface CredentialsDocument {
  readonly accessKeyId: unknown;
  readonly secretAccessKey: unknown;
  readonly sessionToken: unknown;
  /** RFC 3339. */
  readonly expiration: unknown;
}

const TEXT = /^[\x21-\x7e]+$/;

/** Checks what a service or a program answered. Errors: `unauthenticated` naming `from`; never quotes a value. */
export function checkDocument(document: CredentialsDocument, from: string): Credentials {
  const { accessKeyId, secretAccessKey, sessionToken, expiration } = document;
  if (!isText(accessKeyId) || !isText(secretAccessKey)) {
    throw brokenSource(`${from} gave no usable key`, "ask it by hand, and mend what it answers");
  }
  if (sessionToken !== undefined && sessionToken !== null && sessionToken !== "" && !isText(sessionToken)) {
    throw brokenSource(
      `${from} gave a session token that is no text`,
      "ask it by hand, and mend what it answers",
    );
  }
  const expiresAtMs = parseExpiration(expiration, from);
  return {
    accessKeyId,
    secretAccessKey,
    ...(isText(sessionToken) ? { sessionToken } : {}),
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
  };
}

function isText(value: unknown): value is string {
  return typeof value === "string" && TEXT.test(value);
}

function parseExpiration(value: unknown, from: string): number | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  const time = typeof value === "string" ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(time)) {
    throw brokenSource(`${from} gave an expiry that is no time`, "it must be as 2026-01-31T12:00:00Z");
  }
  return time;
}
