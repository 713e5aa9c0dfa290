/** Checks signatures as a store does: from the raw request, without any of the adapter's code. */
import { createHash, createHmac } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";

export interface Secrets {
  /** `undefined`: no such access key. */
  secretOf(accessKeyId: string): string | undefined;
  /** Of temporary credentials. */
  readonly sessionToken?: string | undefined;
}

export interface SignedRequest {
  readonly method: string;
  /** As it was sent. */
  readonly path: string;
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
}

export interface SignatureRefusal {
  readonly status: number;
  readonly code: string;
  readonly message?: string;
  readonly region?: string;
}

const WINDOW_MS = 15 * 60_000;
const FAMILIES = {
  "AWS4-HMAC-SHA256": { key: "AWS4", service: "s3", end: "aws4_request", header: "x-amz-", query: "X-Amz-" },
  "GOOG4-HMAC-SHA256": {
    key: "GOOG4",
    service: "storage",
    end: "goog4_request",
    header: "x-goog-",
    query: "X-Goog-",
  },
} as const;
type Family = (typeof FAMILIES)[keyof typeof FAMILIES];

/** `undefined`: the signature is right. */
export function checkSignature(
  request: SignedRequest,
  secrets: Secrets,
  options: { readonly region: string; readonly nowMs: number },
): SignatureRefusal | undefined {
  const header = request.headers.authorization;
  if (header !== undefined) {
    const match = /^(\S+) Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(header);
    const family = FAMILIES[match?.[1] as keyof typeof FAMILIES];
    if (match === null || family === undefined) return { status: 400, code: "AuthorizationHeaderMalformed" };
    const prefix = family.header;
    const date = String(request.headers[`${prefix}date`]);
    const claimed = String(request.headers[`${prefix}content-sha256`]);
    const actual = createHash("sha256").update(request.body).digest("hex");
    if (claimed !== "UNSIGNED-PAYLOAD" && claimed !== actual) {
      return { status: 400, code: "XAmzContentSHA256Mismatch" };
    }
    if (secrets.sessionToken !== request.headers[`${prefix}security-token`]) {
      return { status: 400, code: "InvalidToken" };
    }
    const unsigned = Object.keys(request.headers).find(
      (name) => name.startsWith(prefix) && !match[3]!.split(";").includes(name),
    );
    if (unsigned !== undefined)
      return { status: 403, code: "AccessDenied", message: `${unsigned} is not signed` };
    return compare(request, family, secrets, options, {
      algorithm: match[1]!,
      credential: match[2]!,
      names: match[3]!,
      signature: match[4]!,
      date,
      bodyHash: claimed,
      query: request.query,
      windowMs: WINDOW_MS,
    });
  }
  const parameters = new URLSearchParams(request.query);
  for (const [algorithm, family] of Object.entries(FAMILIES)) {
    const get = (name: string): string => parameters.get(family.query + name) ?? "";
    if (get("Algorithm") !== algorithm) continue;
    if ((parameters.get(`${family.query}Security-Token`) ?? undefined) !== secrets.sessionToken) {
      return { status: 400, code: "InvalidToken" };
    }
    return compare(request, family, secrets, options, {
      algorithm,
      credential: get("Credential"),
      names: get("SignedHeaders"),
      signature: get("Signature"),
      date: get("Date"),
      bodyHash: "UNSIGNED-PAYLOAD",
      query: request.query
        .split("&")
        .filter((part) => !part.startsWith(`${family.query}Signature=`))
        .join("&"),
      windowMs: Number(get("Expires")) * 1000,
    });
  }
  return { status: 403, code: "AccessDenied", message: "not signed" };
}

interface Claim {
  readonly algorithm: string;
  readonly credential: string;
  readonly names: string;
  readonly signature: string;
  readonly date: string;
  readonly bodyHash: string;
  readonly query: string;
  readonly windowMs: number;
}

function compare(
  request: SignedRequest,
  family: Family,
  secrets: Secrets,
  { region, nowMs }: { readonly region: string; readonly nowMs: number },
  claim: Claim,
): SignatureRefusal | undefined {
  const [accessKeyId, day, itsRegion, service, end] = claim.credential.split("/");
  const secret = secrets.secretOf(accessKeyId!);
  if (secret === undefined) return { status: 403, code: "InvalidAccessKeyId" };
  if (itsRegion !== region) return { status: 400, code: "AuthorizationHeaderMalformed", region };
  if (service !== family.service || end !== family.end || !claim.date.startsWith(day!)) {
    return { status: 400, code: "AuthorizationHeaderMalformed" };
  }
  const atMs = Date.parse(
    claim.date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"),
  );
  if (!(Math.abs(nowMs - atMs) <= claim.windowMs)) {
    return claim.query.includes("Expires=")
      ? { status: 403, code: "AccessDenied", message: "Request has expired" }
      : { status: 403, code: "RequestTimeTooSkewed" };
  }
  const names = claim.names.split(";");
  if (!names.includes("host") || names.join() !== [...names].sort().join()) {
    return { status: 403, code: "SignatureDoesNotMatch" };
  }
  const query = claim.query
    .split("&")
    .map((part) => (part === "" || part.includes("=") ? part : `${part}=`))
    .sort()
    .join("&");
  const canonical = [
    request.method,
    request.path,
    query,
    ...names.map((name) => `${name}:${String(request.headers[name] ?? "").trim()}`),
    "",
    claim.names,
    claim.bodyHash,
  ].join("\n");
  const text = [
    claim.algorithm,
    claim.date,
    claim.credential.split("/").slice(1).join("/"),
    createHash("sha256").update(canonical).digest("hex"),
  ].join("\n");
  const hmac = (key: string | Buffer, part: string) => createHmac("sha256", key).update(part).digest();
  const key = [day!, itsRegion!, service!, end!].reduce<string | Buffer>(hmac, family.key + secret);
  const expected = createHmac("sha256", key).update(text).digest("hex");
  return expected === claim.signature ? undefined : { status: 403, code: "SignatureDoesNotMatch" };
}
