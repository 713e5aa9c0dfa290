/** DeleteObjects in batches, or one request per key where a store lacks it. */
import { createHash } from "node:crypto";
import { utf8 } from "../../base/bytes.ts";
import { isMicError, MicError } from "../../base/errors.ts";
import type { S3Client } from "./client.ts";
import { isRetryable, type Refusal, refusalError } from "./errors.ts";
import type { TransportAnswer } from "./transport.ts";
import { childrenNamed, childText, escapeXml, parseXml } from "./xml.ts";

const BATCH_KEYS_MAX = 1000;
const SINGLE_AT_A_TIME = 16;
/** Of keys that the store failed to delete for a while. */
const ROUNDS_MAX = 5;

interface DeleteOptions {
  readonly inBatches: boolean;
  readonly signal: AbortSignal | undefined;
}

interface FailedKey {
  readonly key: string;
  readonly refusal: Refusal;
}

/** Missing keys are not an error. Returns whether batches are worth trying next time. */
export async function deleteKeys(
  client: S3Client,
  keys: readonly string[],
  { inBatches, signal }: DeleteOptions,
): Promise<boolean> {
  let hasBatches = inBatches;
  for (let at = 0; at < keys.length; at += BATCH_KEYS_MAX) {
    const batch = keys.slice(at, at + BATCH_KEYS_MAX);
    if (hasBatches && batch.length > 1) hasBatches = await deleteBatch(client, batch, signal);
    if (!hasBatches || batch.length === 1) await deleteSingly(client, batch, signal);
  }
  return hasBatches;
}

/** False: the store has no such operation, and nothing was deleted. */
async function deleteBatch(
  client: S3Client,
  keys: readonly string[],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  let left = keys;
  for (let round = 0; left.length > 0; round++) {
    const body = utf8(
      `<?xml version="1.0" encoding="UTF-8"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>${left
        .map((key) => `<Object><Key>${escapeXml(key)}</Key></Object>`)
        .join("")}</Delete>`,
    );
    let failed: FailedKey[] | undefined;
    const answer = await client.ask(
      {
        operation: "delete",
        method: "POST",
        query: { delete: "" },
        headers: {
          "content-type": "application/xml",
          // Required: a body that was changed on its way would delete other keys.
          "content-md5": createHash("md5").update(body).digest("base64"),
        },
        body,
        attempt: round,
        signal,
      },
      `deleting ${left.length} keys`,
      (answer, refusal) => {
        if (refusal !== undefined) return isLacking(refusal);
        failed = readFailures(answer);
        return failed !== undefined;
      },
    );
    if (answer.status !== 200) return false;
    checkAsked(client, left, failed!);
    const fatal = failed!.find(({ refusal }) => !isRetryable(refusal) || round === ROUNDS_MAX);
    if (fatal !== undefined) throw refusalError(fatal.refusal, client.place, `deleting ${fatal.key}`);
    left = [...new Set(failed!.map(({ key }) => key))];
    if (left.length > 0) await client.backOff(round + 1, signal);
  }
  return true;
}

/** What an answer names is deleted next. Errors: `unsupported` for a key that was not to be deleted. */
function checkAsked({ origin }: S3Client, asked: readonly string[], failed: readonly FailedKey[]): void {
  if (failed.length === 0) return;
  const known = new Set(asked);
  const other = failed.find(({ key }) => !known.has(key));
  if (other === undefined) return;
  throw new MicError(
    "unsupported",
    `deleting ${asked.length} keys: ${origin} says that it failed to delete "${other.key.slice(0, 200)}", which it was not asked to`,
    { hint: "run `mic storage probe` to see whether a forge can rely on this store" },
  );
}

function isLacking({ status, code }: Refusal): boolean {
  return status === 501 || status === 405 || code === "NotImplemented" || code === "MethodNotAllowed";
}

/** Keys that are still there, from a 200. `undefined`: this is no whole answer. */
function readFailures(answer: TransportAnswer): FailedKey[] | undefined {
  try {
    const root = parseXml(new TextDecoder().decode(answer.body));
    if (root.name !== "DeleteResult") return undefined;
    const failed: FailedKey[] = [];
    for (const element of childrenNamed(root, "Error")) {
      const code = childText(element, "Code") ?? "";
      if (code === "NoSuchKey") continue;
      const message = childText(element, "Message") ?? "";
      failed.push({ key: childText(element, "Key") ?? "", refusal: keyRefusal(code, message) });
    }
    return failed;
  } catch (error) {
    if (isMicError(error, "corrupt")) return undefined;
    throw error;
  }
}

function keyRefusal(code: string, message: string): Refusal {
  return {
    status: code === "AccessDenied" ? 403 : 200,
    code,
    message,
    region: undefined,
    location: undefined,
    serverTimeMs: undefined,
    retryAfterMs: undefined,
    requestId: undefined,
  };
}

async function deleteSingly(
  client: S3Client,
  keys: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  // One that fails ends the others: nothing is deleted once the caller has been told.
  const ending = new AbortController();
  const both = signal === undefined ? ending.signal : AbortSignal.any([signal, ending.signal]);
  let next = 0;
  let failure: { readonly error: unknown } | undefined;
  const work = async (): Promise<void> => {
    while (next < keys.length && failure === undefined) {
      const key = keys[next++]!;
      try {
        await client.ask(
          { operation: "delete", method: "DELETE", key, signal: both },
          `deleting ${key}`,
          ({ status }, refusal) => status < 300 || (status === 404 && refusal?.code === "NoSuchKey"),
        );
      } catch (error) {
        failure ??= { error };
        ending.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(SINGLE_AT_A_TIME, keys.length) }, work));
  if (failure !== undefined) throw failure.error;
}
