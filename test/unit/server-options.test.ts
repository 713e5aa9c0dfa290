import { describe, expect, test } from "vitest";
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
  });

  test.each(["s3", "tiered"])("STORAGE_BACKEND=%s is unsupported, with the way on", (backend) => {
    expect(() => read({}, { STORAGE_BACKEND: backend })).toThrow(
      failing("unsupported", `STORAGE_BACKEND=${backend}`),
    );
    try {
      read({}, { STORAGE_BACKEND: backend });
    } catch (error) {
      expect((error as { hint: string }).hint).toContain("STORAGE_BACKEND=local");
    }
  });

  test.each([
    [{}, { STORAGE_BACKEND: "disk" }, "STORAGE_BACKEND=disk"],
    [{}, { STORAGE_LOCAL_PATH: "here" }, "STORAGE_LOCAL_PATH=here"],
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
