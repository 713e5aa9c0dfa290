/** AWS's published examples: "Signature Calculations … Examples" and "Authenticating Requests: Using Query Parameters" of the S3 API reference. */
import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import {
  amzDate,
  deriveSigningKey,
  EMPTY_PAYLOAD_HASH,
  payloadHash,
  type Signable,
  Signer,
  type SigningContext,
} from "../../src/core/store/s3/sign.ts";
import { encodePath, encodeQuery } from "../../src/core/store/s3/uri.ts";

const AT_MS = Date.UTC(2013, 4, 24);
const CONTEXT: SigningContext = {
  credentials: {
    accessKeyId: "AKIAIOSFODNN7EXAMPLE",
    secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  },
  region: "us-east-1",
  atMs: AT_MS,
};

function example(change: Partial<Signable>): Signable {
  return {
    method: "GET",
    host: "examplebucket.s3.amazonaws.com",
    path: "/",
    query: {},
    headers: {},
    ...change,
  };
}

describe("authorize() signs as AWS's examples:", () => {
  const cases: [string, Signable, string, string, string][] = [
    [
      "GET Object",
      example({ path: "/test.txt", headers: { range: "bytes=0-9" } }),
      "",
      "host;range;x-amz-content-sha256;x-amz-date",
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ],
    [
      "PUT Object",
      example({
        method: "PUT",
        path: `/${encodePath("test$file.text")}`,
        headers: { date: "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY" },
      }),
      "Welcome to Amazon S3.",
      "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ],
    [
      "GET Bucket Lifecycle",
      example({ query: { lifecycle: "" } }),
      "",
      "host;x-amz-content-sha256;x-amz-date",
      "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ],
    [
      "List Objects",
      example({ query: { prefix: "J", "max-keys": "2" } }),
      "",
      "host;x-amz-content-sha256;x-amz-date",
      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ],
  ];
  test.each(cases)("%s", (_, request, body, names, signature) => {
    const headers = new Signer("s3").authorize(request, payloadHash(utf8(body)), CONTEXT);
    expect(headers["authorization"]).toBe(
      `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=${names}, Signature=${signature}`,
    );
    expect(headers["x-amz-date"]).toBe("20130524T000000Z");
  });
});

test("presign() signs as AWS's example", () => {
  const query = new Signer("s3").presign(example({ path: "/test.txt" }), 86_400, CONTEXT);
  expect(query).toBe(
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
  );
});

test("deriveSigningKey() gives the key of AWS's example", () => {
  const scope = { day: "20150830", region: "us-east-1", service: "iam", terminator: "aws4_request" };
  const key = deriveSigningKey("AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", scope);
  expect(key.toString("hex")).toBe("c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
});

test("authorize() with a kept key signs as one that derives it, for every day, region and secret", () => {
  const signer = new Signer("s3");
  const contexts = [
    CONTEXT,
    CONTEXT,
    { ...CONTEXT, atMs: AT_MS + 86_400_000 },
    { ...CONTEXT, region: "eu-west-1" },
    { ...CONTEXT, credentials: { ...CONTEXT.credentials, secretAccessKey: "another" } },
    CONTEXT,
  ];
  const request = example({ path: "/k" });
  for (const context of contexts) {
    expect(signer.authorize(request, EMPTY_PAYLOAD_HASH, context)).toEqual(
      new Signer("s3").authorize(request, EMPTY_PAYLOAD_HASH, context),
    );
  }
});

test("authorize() signs the token of temporary credentials", () => {
  const credentials = { ...CONTEXT.credentials, sessionToken: "a+token/==" };
  const headers = new Signer("s3").authorize(example({}), EMPTY_PAYLOAD_HASH, { ...CONTEXT, credentials });
  expect(headers["x-amz-security-token"]).toBe("a+token/==");
  expect(headers["authorization"]).toContain("x-amz-date;x-amz-security-token,");
});

test("authorize() for Google uses its own names throughout", () => {
  const headers = new Signer("gcs").authorize(
    example({ headers: { "x-goog-if-generation-match": "0" } }),
    EMPTY_PAYLOAD_HASH,
    CONTEXT,
  );
  expect(Object.keys(headers).filter((name) => name.startsWith("x-amz-"))).toEqual([]);
  expect(headers["x-goog-date"]).toBe("20130524T000000Z");
  expect(headers["authorization"]).toMatch(
    /^GOOG4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE\/20130524\/us-east-1\/storage\/goog4_request, SignedHeaders=host;x-goog-content-sha256;x-goog-date;x-goog-if-generation-match, /,
  );
});

test("encodePath() encodes once, everything but unreserved characters and slashes", () => {
  expect(encodePath("a/B_c-d.~9")).toBe("a/B_c-d.~9");
  expect(encodePath("a b/%2F")).toBe("a%20b/%252F");
  expect(encodePath("!$&'()*+,;=:@")).toBe("%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A%40");
});

test("encodeQuery() sorts by the encoded name", () => {
  expect(encodeQuery({ b: "2", "a+": "/", a: "", "%": "x" })).toBe("%25=x&a=&a%2B=%2F&b=2");
});

test("amzDate() cuts to whole seconds", () => {
  expect(amzDate(Date.UTC(2024, 1, 29, 23, 59, 59, 999))).toBe("20240229T235959Z");
});

test("payloadHash() of nothing is the hash of nothing", () => {
  expect(payloadHash(undefined)).toBe(EMPTY_PAYLOAD_HASH);
  expect(payloadHash(utf8("Welcome to Amazon S3."))).toBe(
    "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
  );
});
