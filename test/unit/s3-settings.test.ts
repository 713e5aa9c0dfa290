import { describe, expect, test } from "vitest";
import {
  type Environment,
  formatBucketAddress,
  readS3Settings,
  type S3Flags,
} from "../../src/core/store/s3/environment.ts";

const read = (env: Environment = {}, flags: S3Flags = {}, defaults = {}) =>
  readS3Settings({ S3_BUCKET: "bucket", ...env }, flags, defaults);
const refusal = (env: Environment, flags: S3Flags = {}, defaults = {}): { message: string; hint: string } => {
  try {
    read(env, flags, defaults);
  } catch (error) {
    return error as { message: string; hint: string };
  }
  throw new Error("it was accepted");
};

describe("readS3Settings()", () => {
  test("says which line sets the bucket when there is none", () => {
    expect(refusal({ S3_BUCKET: "" })).toMatchObject({
      code: "usage",
      message: expect.stringContaining("Missing S3 bucket"),
      hint: "export S3_BUCKET=your-bucket-name",
    });
  });

  test("takes flags before the environment, and that before the configuration", () => {
    const env = { S3_ENDPOINT: "http://env:9000", S3_REGION: "eu-env-1", S3_PREFIX: "env" };
    const defaults = { endpoint: "http://config:9000", region: "eu-config-1" };
    expect(read({}, {}, defaults)).toMatchObject({ endpoint: "http://config:9000", region: "eu-config-1" });
    expect(read(env, {}, defaults)).toMatchObject({
      endpoint: "http://env:9000",
      region: "eu-env-1",
      prefix: "env/",
    });
    const flags = { bucket: "other", endpoint: "https://flag", region: "r", prefix: "/a/b/" };
    expect(read(env, flags, defaults)).toMatchObject({ ...flags, prefix: "a/b/" });
  });

  test.each([
    ["S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
    ["S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"],
  ])("prefers %s to %s, and that to %s", (...names) => {
    const value = (name: string): string => (name.includes("ENDPOINT") ? `http://${name.length}` : name);
    const key = names[0].includes("ENDPOINT") ? "endpoint" : "region";
    const lower = (name: string): string => value(name).toLowerCase().replaceAll("_", "-");
    for (let first = 0; first < names.length; first++) {
      const env = Object.fromEntries(names.slice(first).map((name) => [name, lower(name)]));
      const expected = lower(names[first]!);
      const found = read(env)[key]!;
      expect(found).toBe(key === "endpoint" ? new URL(expected).origin : expected);
    }
  });

  test.each([
    ["https://nyc3.digitaloceanspaces.com", "nyc3"],
    ["https://0123.r2.cloudflarestorage.com", "auto"],
    ["https://s3.eu-west-3.amazonaws.com", "eu-west-3"],
    ["https://s3.dualstack.us-west-2.amazonaws.com", "us-west-2"],
    ["https://storage.googleapis.com", "auto"],
    ["https://fly.storage.tigris.dev", "auto"],
    ["https://s3.fr-par.scw.cloud", "fr-par"],
    ["http://localhost:9000", undefined],
  ])("%s says that the region is %s", (endpoint, region) => {
    expect(read({ S3_ENDPOINT: endpoint }).region).toBe(region);
  });

  test.each([
    [{ S3_BUCKET: "Bucket" }, "S3_BUCKET=Bucket", "export S3_BUCKET="],
    [{ S3_BUCKET: "a" }, "S3_BUCKET=a", "export S3_BUCKET="],
    [{ S3_BUCKET: "a..b" }, "S3_BUCKET=a..b", "export S3_BUCKET="],
    [{ S3_PREFIX: "a//b" }, "S3_PREFIX=a//b", "export S3_PREFIX="],
    [{ S3_PREFIX: "../b" }, "S3_PREFIX=../b", "export S3_PREFIX="],
    [{ S3_PREFIX: "ä" }, "S3_PREFIX=ä", "export S3_PREFIX="],
    [{ S3_REGION: "us east" }, "S3_REGION=us east", "export S3_REGION=us-east-1"],
    [{ S3_ENDPOINT: "minio:9000" }, "S3_ENDPOINT=minio:9000", "export S3_ENDPOINT=https://minio:9000"],
    [{ S3_ENDPOINT: "ftp://x" }, "S3_ENDPOINT=ftp://x", "export S3_ENDPOINT="],
    [{ S3_ENDPOINT: "http://x/bucket" }, "has a path", "export S3_ENDPOINT=http://x"],
    [{ S3_ENDPOINT: "http://x\n" }, "control characters", "export S3_ENDPOINT="],
    [{ S3_ENDPOINT: "http://k:s@x" }, "a user", "AWS_ACCESS_KEY_ID"],
    [
      { S3_ENDPOINT: "https://bucket.nyc3.digitaloceanspaces.com" },
      "names the bucket",
      "export S3_ENDPOINT=https://nyc3.digitaloceanspaces.com",
    ],
    [{ S3_FORCE_PATH_STYLE: "maybe" }, "S3_FORCE_PATH_STYLE=maybe", "export S3_FORCE_PATH_STYLE=true"],
    [{ S3_SERVER_SIDE_ENCRYPTION: "rot13" }, "S3_SERVER_SIDE_ENCRYPTION=rot13", "AES256"],
    [{ S3_SERVER_SIDE_ENCRYPTION: "AES256", S3_KMS_KEY_ID: "k" }, "S3_KMS_KEY_ID", "aws:kms"],
    [{ S3_ACCESS_KEY_ID: "a" }, "S3_ACCESS_KEY_ID", "export S3_SECRET_ACCESS_KEY="],
    [{ S3_SECRET_ACCESS_KEY: "a" }, "S3_SECRET_ACCESS_KEY", "export S3_ACCESS_KEY_ID="],
  ] as const)("%j is a usage error that names it and the line that mends it", (env, message, hint) => {
    expect(refusal(env)).toMatchObject({
      code: "usage",
      message: expect.stringContaining(message),
      hint: expect.stringContaining(hint),
    });
  });

  test("names a flag or a configured value as it was written", () => {
    expect(refusal({}, { endpoint: "x" })).toMatchObject({
      message: expect.stringContaining("--s3-endpoint"),
    });
    expect(refusal({}, {}, { endpoint: "minio" })).toMatchObject({
      hint: "mic config set s3.endpoint https://minio",
    });
  });

  test("refuses Backblaze B2 and says why", () => {
    expect(refusal({ S3_ENDPOINT: "https://s3.us-west-002.backblazeb2.com" })).toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/501.*conditional writes/),
    });
  });

  test("reads addressing, encryption and keys of this program's own", () => {
    expect(read({ S3_FORCE_PATH_STYLE: "1" }).addressing).toBe("path");
    expect(read({}, {}, { forcePathStyle: "false" }).addressing).toBe("virtual");
    expect(read().addressing).toBeUndefined();
    expect(read({ S3_SERVER_SIDE_ENCRYPTION: "AES256" }).encryption).toEqual({ kind: "AES256" });
    expect(read({ S3_KMS_KEY_ID: "k" }).encryption).toEqual({ kind: "aws:kms", keyId: "k" });
    const env = { S3_ACCESS_KEY_ID: "a", S3_SECRET_ACCESS_KEY: "b" };
    expect(read(env).explicit).toEqual({ accessKeyId: "a", secretAccessKey: "b" });
  });
});

test("formatBucketAddress() has no slash at its end", () => {
  expect(formatBucketAddress({ bucket: "b", prefix: "" })).toBe("s3://b");
  expect(formatBucketAddress({ bucket: "b", prefix: "a/b/" })).toBe("s3://b/a/b");
});
