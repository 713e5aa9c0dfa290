/**
 * AWS Signature Version 4 for S3, and Google's of the same shape. Source: "Authenticating Requests (AWS
 * Signature Version 4)" in the S3 API reference; test/unit/s3-sign.test.ts has its published vectors.
 */
import { createHmac, hash } from "node:crypto";
import type { Credentials } from "./credentials-types.ts";
import type { S3Dialect } from "./options.ts";
import { encodeQuery } from "./uri.ts";

/** SHA-256 of nothing. */
export const EMPTY_PAYLOAD_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD";

interface Words {
  readonly algorithm: string;
  /** Before the secret, for the first of the derived keys. */
  readonly keyPrefix: string;
  readonly service: string;
  readonly terminator: string;
  /** Of headers, lowercase. */
  readonly header: string;
  /** Of query parameters. */
  readonly query: string;
}

const WORDS: Readonly<Record<S3Dialect, Words>> = {
  s3: {
    algorithm: "AWS4-HMAC-SHA256",
    keyPrefix: "AWS4",
    service: "s3",
    terminator: "aws4_request",
    header: "x-amz-",
    query: "X-Amz-",
  },
  gcs: {
    algorithm: "GOOG4-HMAC-SHA256",
    keyPrefix: "GOOG4",
    service: "storage",
    terminator: "goog4_request",
    header: "x-goog-",
    query: "X-Goog-",
  },
};

export interface Signable {
  readonly method: string;
  readonly host: string;
  /** Encoded. */
  readonly path: string;
  /** By name, not encoded. */
  readonly query: Readonly<Record<string, string>>;
  /** Only those that are to be signed, lowercase names, trimmed values. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface SigningContext {
  readonly credentials: Credentials;
  readonly region: string;
  /** Unix milliseconds that the request claims as its time. A store refuses what is 15 minutes off. */
  readonly atMs: number;
}

export function payloadHash(body: Uint8Array | undefined): string {
  return body === undefined || body.length === 0 ? EMPTY_PAYLOAD_HASH : hash("sha256", body, "hex");
}

/** `20130524T000000Z` */
export function amzDate(unixMs: number): string {
  return `${new Date(Math.floor(unixMs / 1000) * 1000).toISOString().replace(/[-:]/g, "").slice(0, 15)}Z`;
}

export function deriveSigningKey(
  secret: string,
  scope: {
    readonly day: string;
    readonly region: string;
    readonly service: string;
    readonly terminator: string;
  },
): Buffer {
  let key = hmac(secret, scope.day);
  for (const part of [scope.region, scope.service, scope.terminator]) key = hmac(key, part);
  return key;
}

/** Keeps the derived key of one day, region and secret: four of the five HMACs of a signature. */
export class Signer {
  readonly #words: Words;
  #key:
    | { readonly day: string; readonly region: string; readonly secret: string; readonly key: Buffer }
    | undefined;

  constructor(dialect: S3Dialect) {
    this.#words = WORDS[dialect];
  }

  /** The headers to send besides `Host`: those of `request` and the signature's own. */
  authorize(request: Signable, bodyHash: string, context: SigningContext): Record<string, string> {
    const words = this.#words;
    const { credentials } = context;
    const date = amzDate(context.atMs);
    const headers: Record<string, string> = {
      ...request.headers,
      [`${words.header}content-sha256`]: bodyHash,
      [`${words.header}date`]: date,
    };
    if (credentials.sessionToken !== undefined) {
      headers[`${words.header}security-token`] = credentials.sessionToken;
    }
    const query = encodeQuery(request.query);
    const { signature, scope, names } = this.#sign(request, query, headers, bodyHash, date, context);
    headers["authorization"] =
      `${words.algorithm} Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`;
    return headers;
  }

  /** The encoded query of a URL that is good for `seconds`. Its headers are signed and must be sent as they are. */
  presign(request: Signable, seconds: number, context: SigningContext): string {
    const words = this.#words;
    const { credentials } = context;
    const date = amzDate(context.atMs);
    const names = signedNames({ ...request.headers, host: "" });
    const query: Record<string, string> = {
      ...request.query,
      [`${words.query}Algorithm`]: words.algorithm,
      [`${words.query}Credential`]: `${credentials.accessKeyId}/${this.#scope(date, context.region)}`,
      [`${words.query}Date`]: date,
      [`${words.query}Expires`]: String(seconds),
      [`${words.query}SignedHeaders`]: names.join(";"),
    };
    if (credentials.sessionToken !== undefined) {
      query[`${words.query}Security-Token`] = credentials.sessionToken;
    }
    const encoded = encodeQuery(query);
    const { signature } = this.#sign(request, encoded, request.headers, UNSIGNED_PAYLOAD, date, context);
    return `${encoded}&${words.query}Signature=${signature}`;
  }

  #sign(
    request: Signable,
    query: string,
    headers: Readonly<Record<string, string>>,
    bodyHash: string,
    date: string,
    context: SigningContext,
  ): { signature: string; scope: string; names: string } {
    const all: Record<string, string> = { ...headers, host: request.host };
    const sorted = signedNames(all);
    let canonical = `${request.method}\n${request.path}\n${query}\n`;
    for (const name of sorted) canonical += `${name}:${all[name]}\n`;
    const names = sorted.join(";");
    canonical += `\n${names}\n${bodyHash}`;
    const scope = this.#scope(date, context.region);
    const text = `${this.#words.algorithm}\n${date}\n${scope}\n${hash("sha256", canonical, "hex")}`;
    const key = this.#signingKey(context.credentials.secretAccessKey, date.slice(0, 8), context.region);
    return { signature: createHmac("sha256", key).update(text).digest("hex"), scope, names };
  }

  #scope(date: string, region: string): string {
    return `${date.slice(0, 8)}/${region}/${this.#words.service}/${this.#words.terminator}`;
  }

  #signingKey(secret: string, day: string, region: string): Buffer {
    const known = this.#key;
    if (known?.day === day && known.region === region && known.secret === secret) return known.key;
    const { keyPrefix, service, terminator } = this.#words;
    const key = deriveSigningKey(keyPrefix + secret, { day, region, service, terminator });
    this.#key = { day, region, secret, key };
    return key;
  }
}

function signedNames(headers: Readonly<Record<string, string>>): string[] {
  return Object.keys(headers).sort();
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
