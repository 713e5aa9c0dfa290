/** Where requests go, what an environment's mistakes are told, and URLs for others. */
import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { canPresign } from "../../src/core/store/presign.ts";
import { S3Client } from "../../src/core/store/s3/client.ts";
import { Endpoint } from "../../src/core/store/s3/endpoint.ts";
import { type Refusal, refusalError } from "../../src/core/store/s3/errors.ts";
import { openS3Store } from "../../src/core/store/s3/open.ts";
import type { S3Options } from "../../src/core/store/s3/options.ts";
import { childrenNamed, childText, parseXml } from "../../src/core/store/s3/xml.ts";
import { S3Server } from "../support/s3-server.ts";

function options(change: Partial<S3Options> = {}): S3Options {
  return {
    bucket: "my-bucket",
    prefix: "",
    region: "eu-west-1",
    credentials: { get: async () => ({ accessKeyId: "A", secretAccessKey: "S" }) },
    transport: "fetch",
    clock: systemClock,
    random: systemRandom,
    ...change,
  };
}

describe("Endpoint", () => {
  test.each<[Partial<S3Options>, string, string]>([
    [{}, "https://my-bucket.s3.eu-west-1.amazonaws.com", "/"],
    [{ region: "cn-north-1" }, "https://my-bucket.s3.cn-north-1.amazonaws.com.cn", "/"],
    [{ bucket: "a.b" }, "https://s3.eu-west-1.amazonaws.com", "/a.b/"],
    [{ addressing: "path" }, "https://s3.eu-west-1.amazonaws.com", "/my-bucket/"],
    [{ endpoint: "https://s3.eu-west-1.amazonaws.com" }, "https://my-bucket.s3.eu-west-1.amazonaws.com", "/"],
    [{ endpoint: "http://localhost:9000" }, "http://localhost:9000", "/my-bucket/"],
    [{ endpoint: "http://localhost:9000/" }, "http://localhost:9000", "/my-bucket/"],
    [
      { endpoint: "https://nyc3.digitaloceanspaces.com", addressing: "virtual" },
      "https://my-bucket.nyc3.digitaloceanspaces.com",
      "/",
    ],
    [{ endpoint: "http://[::1]:9000" }, "http://[::1]:9000", "/my-bucket/"],
  ])("of %o asks %s", (change, origin, bucketPath) => {
    const given = options(change);
    const target = new Endpoint(given).target(given.region);
    expect(target).toEqual({ origin, host: new URL(origin).host, bucketPath });
  });

  test.each<[Partial<S3Options>, string, RegExp]>([
    [{ bucket: "" }, "usage", /S3_BUCKET/],
    [{ bucket: "s3://x" }, "usage", /S3_BUCKET/],
    [{ bucket: "a/b" }, "usage", /S3_BUCKET/],
    [{ bucket: "a..b" }, "usage", /S3_BUCKET/],
    [{ bucket: "x--use1-az4--x-s3" }, "unsupported", /general purpose/],
    [{ prefix: "a" }, "usage", /printable ASCII/],
    [{ prefix: "/a/" }, "usage", /printable ASCII/],
    [{ prefix: "../a/" }, "usage", /printable ASCII/],
    [{ region: "" }, "usage", /S3_REGION/],
    [{ region: "eu west" }, "usage", /S3_REGION/],
    [{ region: "x.evil.com/" }, "usage", /S3_REGION/],
    [{ endpoint: "localhost:9000" }, "usage", /S3_ENDPOINT/],
    [{ endpoint: "minio" }, "usage", /S3_ENDPOINT/],
    [{ endpoint: "ftp://x" }, "usage", /S3_ENDPOINT/],
    [{ endpoint: "https://host/my-bucket" }, "usage", /S3_ENDPOINT=https:\/\/host, /],
    [{ endpoint: "https://key:secret@host" }, "usage", /AWS_ACCESS_KEY_ID/],
    [{ endpoint: "https://s3.us-west-002.backblazeb2.com" }, "unsupported", /Cloudflare R2/],
  ])("refuses %o, and says what to set", async (change, code, hint) => {
    await expect(openS3Store(options(change))).rejects.toMatchObject({
      code,
      hint: expect.stringMatching(hint),
    });
  });

  test("does not repeat a secret of a URL", () => {
    const make = (): Endpoint => new Endpoint(options({ endpoint: "https://key:hunter2@host" }));
    expect(make).toThrow(/^(?!.*hunter2).*credentials/s);
  });

  test("knows Google's and Tigris's hosts", () => {
    expect(new Endpoint(options({ endpoint: "https://storage.googleapis.com" })).dialect).toBe("gcs");
    expect(new Endpoint(options({ endpoint: "https://fly.storage.tigris.dev" })).extraHeaders).toEqual({
      "x-tigris-consistent": "true",
    });
    expect(new Endpoint(options()).extraHeaders).toEqual({});
  });

  test("follows a redirect only within AWS", () => {
    const aws = new Endpoint(options());
    expect(aws.redirectTarget("https://my-bucket.s3.us-west-2.amazonaws.com/k?x")).toEqual({
      origin: "https://my-bucket.s3.us-west-2.amazonaws.com",
      host: "my-bucket.s3.us-west-2.amazonaws.com",
      bucketPath: "/",
    });
    for (const location of [
      "http://my-bucket.s3.us-west-2.amazonaws.com/",
      "https://my-bucket.s3.us-west-2.amazonaws.com.evil.example/",
      "https://evilamazonaws.com/",
      "https://s3.amazonaws.com:8443/",
      "/k",
      undefined,
    ]) {
      expect(aws.redirectTarget(location), String(location)).toBeUndefined();
    }
    const other = new Endpoint(options({ endpoint: "https://minio.example" }));
    expect(other.redirectTarget("https://my-bucket.s3.us-west-2.amazonaws.com/")).toBeUndefined();
  });
});

describe("follow()", () => {
  const refusal = (change: Partial<Refusal>): Refusal => ({
    status: 301,
    code: "PermanentRedirect",
    message: "",
    region: undefined,
    location: undefined,
    serverTimeMs: undefined,
    retryAfterMs: undefined,
    requestId: undefined,
    ...change,
  });

  test("goes to the region's own host on AWS, however the endpoint was named", () => {
    for (const endpoint of [undefined, "https://s3.eu-west-1.amazonaws.com"]) {
      const client = new S3Client(options(endpoint === undefined ? {} : { endpoint }));
      expect(client.follow(refusal({ region: "us-west-2" }))).toBe(true);
      expect(client.origin).toBe("https://my-bucket.s3.us-west-2.amazonaws.com");
      expect(client.follow(refusal({ region: "us-west-2" }))).toBe(false);
    }
  });

  test("stays with an endpoint of one's own, and signs for the region", () => {
    const client = new S3Client(options({ endpoint: "http://localhost:9000" }));
    expect(
      client.follow(refusal({ status: 400, code: "AuthorizationHeaderMalformed", region: "us-west-2" })),
    ).toBe(true);
    expect(client.place).toEqual({
      bucket: "my-bucket",
      region: "us-west-2",
      origin: "http://localhost:9000",
    });
  });

  test("does not take a host for a region", () => {
    const client = new S3Client(options());
    expect(client.follow(refusal({ region: "evil.example/" }))).toBe(false);
    expect(client.follow(refusal({ status: 403, code: "AccessDenied", region: "us-west-2" }))).toBe(false);
  });

  test.each<[Partial<Refusal>, string, RegExp, RegExp]>([
    [{ status: 404, code: "NoSuchBucket" }, "not-found", /no bucket my-bucket/, /S3_BUCKET/],
    [{ status: 403, code: "AccessDenied" }, "forbidden", /does not allow/, /s3:PutObject.*s3:ListBucket/],
    [{ status: 403, code: "" }, "forbidden", /does not allow/, /s3:GetObject/],
    [{ status: 403, code: "InvalidAccessKeyId" }, "unauthenticated", /access key/, /AWS_ACCESS_KEY_ID/],
    [{ status: 403, code: "SignatureDoesNotMatch" }, "unauthenticated", /signature/, /AWS_SECRET_ACCESS_KEY/],
    [{ status: 400, code: "ExpiredToken" }, "unauthenticated", /expired/, /AWS_SESSION_TOKEN/],
    [{ status: 403, code: "RequestTimeTooSkewed" }, "unreachable", /15 minutes/, /clock/],
    [{ status: 301, region: "us-west-2" }, "usage", /region us-west-2, not eu-west-1/, /S3_REGION=us-west-2/],
    [{ status: 301 }, "unreachable", /redirects elsewhere/, /S3_ENDPOINT/],
    [{ status: 503, code: "SlowDown" }, "unreachable", /fewer requests/, /later/],
    [{ status: 500, code: "InternalError" }, "unreachable", /failed/, /later/],
    [{ status: 501, code: "NotImplemented" }, "unsupported", /operation/, /storage probe/],
    [{ status: 404, code: "" }, "unreachable", /no S3 store/, /S3_ENDPOINT/],
    [{ status: 400, code: "EntityTooLarge" }, "too-large", /larger/, /limits/],
    [{ status: 403, code: "InvalidObjectState" }, "unsupported", /archived/, /lifecycle/],
    [{ status: 400, code: "KMS.DisabledException" }, "forbidden", /key/, /kms:Decrypt/],
    [{ status: 507, code: "XMinioStorageFull" }, "unreachable", /no space/, /quota/],
  ])("a refusal %o is told with its fix", (change, code, message, hint) => {
    const place = { bucket: "my-bucket", region: "eu-west-1", origin: "https://x" };
    const error = refusalError(refusal({ status: 400, code: "", ...change }), place, "reading k");
    expect(error).toMatchObject({
      code,
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    });
  });
});

describe("presigned URLs", () => {
  test("let somebody else read and write one key for a while, without credentials", async () => {
    await using server = await S3Server.start();
    server.credentials = { accessKeyId: "KEY", secretAccessKey: "s", sessionToken: "to/ken+==" };
    await using store = await openS3Store(server.options({ prefix: "p/", encryption: { kind: "AES256" } }));
    expect(canPresign(store)).toBe(true);
    const put = await store.presignPut("a b".replace(" ", "+"), 60, { size: 5 });
    expect(put.headers).toEqual({ "x-amz-server-side-encryption": "AES256", "content-length": "5" });
    const send = (body: string): Promise<Response> => {
      const { "content-length": _, ...headers } = put.headers;
      return fetch(put.url, { method: "PUT", body, headers });
    };
    expect((await send("too long")).status).toBe(403);
    expect((await send("12345")).status).toBe(200);
    expect((await fetch(put.url, { method: "PUT", body: "12345" })).status).toBe(403);
    const get = await store.presignGet("a+b", 60);
    expect(await (await fetch(get.url, { headers: { range: "bytes=1-2" } })).text()).toBe("23");
    expect((await fetch(get.url.replace("a%2Bb", "a%2Bc"))).status).toBe(403);
    expect((await fetch(get.url, { method: "PUT", body: "x" })).status).toBe(403);
    server.skewMs = 61_000;
    expect((await fetch(get.url)).status).toBe(403);
  });

  test("end when temporary credentials do, and are refused for more than a week", async () => {
    await using server = await S3Server.start();
    const expiresAtMs = systemClock.nowMs() + 10_000;
    server.credentials = { ...server.credentials, expiresAtMs };
    await using store = await openS3Store(server.options());
    expect((await store.presignGet("k", 60)).expiresAtMs).toBe(expiresAtMs);
    for (const seconds of [0, -1, 1.5, 604_801, Number.NaN]) {
      await expect(store.presignGet("k", seconds)).rejects.toMatchObject({ code: "internal" });
    }
    await expect(store.presignPut("../k", 60)).rejects.toMatchObject({ code: "internal" });
  });

  test("of Google's stores are in its own words", async () => {
    await using server = await S3Server.start({ gcs: true });
    await using store = await openS3Store(server.options());
    await store.put("k", utf8("x"));
    const { url } = await store.presignGet("k", 60);
    expect(url).toMatch(/X-Goog-Algorithm=GOOG4-HMAC-SHA256&/);
    expect(await (await fetch(url)).text()).toBe("x");
  });
});

describe("parseXml()", () => {
  test("reads elements, text, entities and empty elements, and skips attributes and the declaration", () => {
    const root = parseXml(
      '<?xml version="1.0" encoding="UTF-8"?>\n<R xmlns="http://x/"><K>a&amp;b&#60;&#x3e;</K><E/><K>\n c </K></R>\n',
    );
    expect(root.name).toBe("R");
    expect(childrenNamed(root, "K").map(({ text }) => text)).toEqual(["a&b<>", "\n c "]);
    expect(childText(root, "E")).toBe("");
    expect(childText(root, "Missing")).toBeUndefined();
  });

  test.each([
    "",
    "text",
    "<a>",
    "</a>",
    "<a></b>",
    "<a/><b/>",
    "<a",
    "<a>&unknown;</a>",
    "<a>&#x110000;</a>",
    "<a>&</a>",
    "<!DOCTYPE a><a/>",
    "<a><![CDATA[x]]></a>",
    "<a><?php x?></a>",
    "<a><!-- c --></a>",
    "<a>".repeat(17) + "</a>".repeat(17),
    `<a>${"<b/>".repeat(100_001)}</a>`,
  ])("refuses %j", (source) => {
    expect(() => parseXml(source)).toThrow(expect.objectContaining({ code: "corrupt" }));
  });

  test("takes linear time for what is hostile", () => {
    const begin = performance.now();
    for (const source of [
      `<a ${"=".repeat(1_000_000)}`,
      `<a>${"&".repeat(1_000_000)}</a>`,
      "<".repeat(1_000_000),
    ]) {
      expect(() => parseXml(source)).toThrow();
    }
    expect(performance.now() - begin).toBeLessThan(10_000);
  });
});
