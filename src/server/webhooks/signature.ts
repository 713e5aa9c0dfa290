/**
 * Signatures as of Standard Webhooks (standardwebhooks.com): `v1,` and the base64 of HMAC-SHA256 over
 * `id.timestamp.body` under the secret's bytes. A secret is `whsec_` and the base64 of 32 random bytes.
 */
import { createHmac } from "node:crypto";
import { asBuffer } from "../../core/base/bytes.ts";
import type { Random } from "../../core/base/random.ts";

const PREFIX = "whsec_";
const SECRET_BYTES = 32;

export function mintWebhookSecret(random: Random): string {
  return PREFIX + asBuffer(random.bytes(SECRET_BYTES)).toString("base64");
}

export interface SignedMessage {
  readonly id: string;
  /** Of this attempt. */
  readonly atMs: number;
  readonly body: string;
}

/** The headers of an attempt, one signature for each secret that is valid. */
export function signatureHeaders(
  { id, atMs, body }: SignedMessage,
  secrets: readonly string[],
): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(atMs / 1000));
  const signatures = secrets.map((secret) => `v1,${signatureOf(secret, `${id}.${timestamp}.${body}`)}`);
  return {
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    "webhook-signature": signatures.join(" "),
  };
}

function signatureOf(secret: string, text: string): string {
  const key = Buffer.from(secret.slice(PREFIX.length), "base64");
  return createHmac("sha256", key).update(text).digest("base64");
}
