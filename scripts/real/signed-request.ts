/**
 * One signed request to an object server (AWS Signature Version 4), for what mic itself never does: make a bucket,
 * set its policy. Written apart from mic's own signer, so that servers are set up by a second opinion.
 */
import { createHash, createHmac } from "node:crypto";

export interface Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

const REGION = "us-east-1";

/** `path` is encoded already and starts with `/`; `query` is `name=value&…`, sorted and encoded. */
export async function signedRequest(
  endpoint: string,
  keys: Keys,
  method: string,
  path: string,
  query = "",
  body?: string | Uint8Array<ArrayBuffer>,
): Promise<Response> {
  const { host } = new URL(endpoint);
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const scope = `${time.slice(0, 8)}/${REGION}/s3/aws4_request`;
  const payload = createHash("sha256")
    .update(body ?? "")
    .digest("hex");
  const headers = { host, "x-amz-content-sha256": payload, "x-amz-date": time };
  const names = Object.keys(headers).join(";");
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  const canonical = [method, path, query, lines.join(""), names, payload].join("\n");
  const hashed = createHash("sha256").update(canonical).digest("hex");
  const toSign = ["AWS4-HMAC-SHA256", time, scope, hashed].join("\n");
  let key: Uint8Array = Buffer.from(`AWS4${keys.secretAccessKey}`);
  for (const part of scope.split("/")) key = createHmac("sha256", key).update(part).digest();
  const signature = createHmac("sha256", key).update(toSign).digest("hex");
  const credential = `${keys.accessKeyId}/${scope}`;
  const authorization = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`;
  return fetch(`${endpoint}${path}${query === "" ? "" : `?${query}`}`, {
    method,
    headers: { "x-amz-content-sha256": payload, "x-amz-date": time, authorization },
    ...(body === undefined ? {} : { body }),
  });
}
