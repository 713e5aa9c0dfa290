import { describe, expect, test } from "vitest";
import type { S3Settings } from "../../src/core/store/s3/environment.ts";
import { parseListen, readServeOptions, type ServeFlags } from "../../src/server/serve-options.ts";

const read = (flags: ServeFlags = {}, env: Readonly<Record<string, string>> = {}, isRoot = false) =>
  readServeOptions(flags, { env: { HOME: "/home/ada", ...env }, platform: "linux", isRoot, cwd: "/work" });
const failing = (code: string, ...words: readonly string[]) =>
  expect.objectContaining({ code, message: expect.stringMatching(words.join(".*")) });

describe("readServeOptions()", () => {
  test("keeps data where it was told to, else where the system keeps such data", () => {
    expect(read({ data: "store" }, { STORAGE_LOCAL_PATH: "/srv/x" }).dataDirectory).toBe("/work/store");
    expect(read({}, { STORAGE_LOCAL_PATH: "/srv/x", STORAGE_BACKEND: "local" }).dataDirectory).toBe("/srv/x");
    expect(read({}, {}, true).dataDirectory).toBe("/var/lib/mic");
    expect(read().dataDirectory).toBe("/home/ada/.local/share/mic");
    expect(read({}, { XDG_DATA_HOME: "/data" }).dataDirectory).toBe("/data/mic");
    expect(() => read({}, { HOME: "ada" })).toThrow(failing("usage", "no home directory"));
  });

  test("stores in the bucket that flags or variables name", () => {
    const settings = { bucket: "forge", prefix: "team/", endpoint: "http://localhost:9000", region: "eu-1" };
    const flags = {
      s3Bucket: "forge",
      s3Prefix: "team",
      s3Endpoint: "http://localhost:9000",
      s3Region: "eu-1",
    };
    expect(read(flags).storage.origin).toMatchObject({ kind: "s3", settings });
    const env = {
      S3_BUCKET: "forge",
      S3_PREFIX: "team",
      S3_ENDPOINT: "http://localhost:9000",
      S3_REGION: "eu-1",
    };
    expect(read({}, { ...env, STORAGE_BACKEND: "s3" }).storage.origin).toMatchObject({
      kind: "s3",
      settings,
    });
    expect(read({}, { ...env, STORAGE_BACKEND: "tiered" }).storage.origin).toMatchObject({ kind: "s3" });
    const local = { ...env, STORAGE_BACKEND: "tiered", STORAGE_ORIGIN_BACKEND: "local" };
    expect(read({}, local).storage.origin).toEqual({ kind: "local" });
  });

  test("stores locally when nothing says otherwise, and warns of a bucket that it does not use", () => {
    expect(read({}, {})).toMatchObject({ storage: { origin: { kind: "local" } }, warnings: [] });
    const { storage, warnings } = read({}, { S3_BUCKET: "forge" });
    expect(storage.origin).toEqual({ kind: "local" });
    expect(warnings).toEqual([expect.stringContaining("STORAGE_BACKEND=s3")]);
  });

  test("finds the bucket where the configuration says, unless a flag or a variable does", () => {
    const s3Defaults = { endpoint: "https://configured", region: "c-1", forcePathStyle: "false" };
    const settingsOf = (flags: ServeFlags, env: Readonly<Record<string, string>> = {}) => {
      const world = { env: { HOME: "/home/ada", ...env }, isRoot: false, cwd: "/work", s3Defaults };
      const { storage, replica } = readServeOptions(
        { s3Bucket: "forge", authReplica: "s3://auth", ...flags },
        { ...world, platform: "linux" },
      );
      const { origin } = storage;
      if (origin.kind !== "s3") throw new Error("not in a bucket");
      const pick = ({ endpoint, region, addressing }: S3Settings) => [endpoint, region, addressing];
      return [pick(origin.settings), pick(replica!.settings)];
    };
    const configured = ["https://configured", "c-1", "virtual"];
    expect(settingsOf({})).toEqual([configured, configured]);
    const given = ["https://given", "g-1", "path"];
    const env = { S3_ENDPOINT: "https://given", S3_REGION: "g-1", S3_FORCE_PATH_STYLE: "true" };
    expect(settingsOf({}, env)).toEqual([given, given]);
    const flagged = ["https://given", "g-1", "virtual"];
    expect(settingsOf({ s3Endpoint: "https://given", s3Region: "g-1" })).toEqual([flagged, flagged]);
  });

  test("warns where --s3-bucket comes before a variable that says otherwise", () => {
    const warned = (env: Readonly<Record<string, string>>) => read({ s3Bucket: "forge" }, env);
    for (const env of [
      { STORAGE_BACKEND: "local" },
      { STORAGE_BACKEND: "tiered", STORAGE_ORIGIN_BACKEND: "local" },
      { STORAGE_ORIGIN_BACKEND: "local" },
    ]) {
      const { storage, warnings } = warned(env);
      expect(storage.origin.kind).toBe("s3");
      const [name, value] = Object.entries(env).find(([, setting]) => setting === "local")!;
      expect(warnings).toEqual([expect.stringContaining(`${name}=${value}`)]);
    }
    expect(warned({ STORAGE_BACKEND: "s3", S3_BUCKET: "other" }).warnings).toEqual([]);
    expect(warned({ STORAGE_BACKEND: "tiered" }).warnings).toEqual([]);
  });

  test("warns of a store that is reached without encryption", () => {
    const warned = (s3Endpoint: string) => read({ s3Bucket: "forge", s3Endpoint }).warnings;
    expect(warned("http://minio:9000")).toEqual([expect.stringContaining("not encrypted")]);
    for (const endpoint of [
      "https://minio",
      "http://127.0.0.1:9000",
      "http://[::1]:9000",
      "http://localhost",
    ]) {
      expect(warned(endpoint)).toEqual([]);
    }
  });

  test("reads the tiers before the origin", () => {
    expect(read().storage.tiers).toEqual({
      cachePath: undefined,
      cacheMemoryMaxBytes: undefined,
      cdnBaseUrl: undefined,
      cdnTimeoutMs: 2000,
    });
    const env = {
      STORAGE_CACHE_PATH: "/var/cache/mic",
      STORAGE_CACHE_MEMORY_MAX_BYTES: "64000000",
      STORAGE_CDN_BASE_URL: "https://cdn.example.com/mic/",
      STORAGE_CDN_TIMEOUT_MS: "500",
    };
    expect(read({}, env).storage.tiers).toEqual({
      cachePath: "/var/cache/mic",
      cacheMemoryMaxBytes: 64_000_000,
      cdnBaseUrl: "https://cdn.example.com/mic",
      cdnTimeoutMs: 500,
    });
    expect(read({ cachePath: "c" }, env).storage.tiers.cachePath).toBe("/work/c");
    expect(read({ data: "/d" }, { STORAGE_BACKEND: "tiered" }).storage.tiers.cachePath).toBe("/d/cache");
  });

  test.each([
    [{}, { STORAGE_BACKEND: "disk" }, "STORAGE_BACKEND=disk"],
    [{}, { STORAGE_LOCAL_PATH: "here" }, "STORAGE_LOCAL_PATH=here"],
    [{}, { STORAGE_BACKEND: "s3" }, "Missing S3 bucket"],
    [{}, { STORAGE_BACKEND: "tiered", STORAGE_ORIGIN_BACKEND: "s3" }, "Missing S3 bucket"],
    [{}, { STORAGE_BACKEND: "tiered", STORAGE_ORIGIN_BACKEND: "ftp" }, "STORAGE_ORIGIN_BACKEND=ftp"],
    [{ s3Endpoint: "http://x" }, {}, "--s3-endpoint"],
    [{ s3Bucket: "" }, {}, "Missing S3 bucket"],
    [{}, { STORAGE_CACHE_PATH: "here" }, "STORAGE_CACHE_PATH=here"],
    [{}, { STORAGE_CACHE_MEMORY_MAX_BYTES: "64MB" }, "STORAGE_CACHE_MEMORY_MAX_BYTES=64MB"],
    [{}, { STORAGE_CDN_BASE_URL: "cdn.example.com" }, "STORAGE_CDN_BASE_URL=cdn.example.com"],
    [{}, { STORAGE_CDN_BASE_URL: "https://c/?x" }, "STORAGE_CDN_BASE_URL"],
    [{}, { STORAGE_CDN_TIMEOUT_MS: "0" }, "STORAGE_CDN_TIMEOUT_MS=0"],
    [{ cdnTimeoutMs: "x" }, {}, "--cdn-timeout-ms x"],
    [{ data: "" }, {}, "--data"],
    [{ listen: "0.0.0.0:80" }, {}, "TLS"],
    [{ listen: "[::]:80" }, {}, "TLS"],
    [{ listen: "forge.example.org:80" }, {}, "TLS"],
    [{ listen: "127.0.0.1:99999" }, {}, "--listen"],
    [{ listen: "localhost" }, {}, "--listen"],
    [{ listen: "::1:80" }, {}, "--listen"],
    [{ tlsCert: "c" }, {}, "--tls-key"],
    [{ tlsKey: "k" }, {}, "--tls-cert"],
  ] as const)("%j with %j is a usage error that names it", (flags, env, word) => {
    expect(() => read(flags, env)).toThrow(failing("usage", word));
  });

  test("listens for other machines with TLS, or when told that it may without", () => {
    const tls = read({ listen: "0.0.0.0:443", tlsCert: "c.pem", tlsKey: "/k.pem" });
    expect(tls).toMatchObject({ host: "0.0.0.0", port: 443, tls: { cert: "/work/c.pem", key: "/k.pem" } });
    expect(read({ listen: "0.0.0.0:80", insecureListen: true })).toMatchObject({
      host: "0.0.0.0",
      tls: undefined,
    });
  });

  test("is known under an origin, and warns where others reach it under no name", () => {
    expect(read({ publicUrl: "https://Forge.Example.com:443/" }).publicUrl).toBe("https://forge.example.com");
    expect(read({}, { MIC_PUBLIC_URL: "http://forge:7420" }).publicUrl).toBe("http://forge:7420");
    const open = { listen: "0.0.0.0:80", insecureListen: true };
    expect(read(open).warnings).toEqual([expect.stringContaining("--public-url")]);
    expect(read({ ...open, publicUrl: "https://forge.example.com" }).warnings).toEqual([]);
    expect(read({ ...open, allowedHost: "forge" }).warnings).toEqual([]);
    for (const publicUrl of [
      "",
      "forge.example.com",
      "ftp://forge.example.com",
      "https://forge.example.com/mic",
      "https://forge.example.com/?a",
      "https://ada@forge.example.com",
      "https:///forge.example.com",
      "https:\\\\forge.example.com",
    ]) {
      expect(() => read({ publicUrl })).toThrow(failing("usage", "--public-url"));
    }
  });

  test.each([
    ["127.0.0.1:7420", "127.0.0.1", 7420],
    ["localhost:0", "localhost", 0],
    ["[::1]:80", "::1", 80],
    [":8080", "127.0.0.1", 8080],
    ["8080", "127.0.0.1", 8080],
  ])("parseListen(%j)", (text, host, port) => expect(parseListen(text)).toEqual({ host, port }));

  test("an empty variable counts as none", () => {
    expect(read({}, { MIC_OWNER_TOKEN: "", STORAGE_BACKEND: "", STORAGE_LOCAL_PATH: "" })).toMatchObject({
      ownerToken: undefined,
      dataDirectory: "/home/ada/.local/share/mic",
    });
  });
});
