import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { type AddressContext, parseAddress, resolveForge, resolveProject } from "../../src/cli/address.ts";

const cwd = mkdtempSync(path.join(tmpdir(), "mic-address-"));
afterAll(() => rmSync(cwd, { recursive: true }));
mkdirSync(path.join(cwd, "work/.mic"), { recursive: true });
mkdirSync(path.join(cwd, "forge"));
const forge = path.join(cwd, "forge");

const context = (server?: string, aliases: Readonly<Record<string, string>> = {}): AddressContext => ({
  cwd,
  server,
  alias: (name) => aliases[name],
  isForgeDirectory: async (directory) => directory === forge,
  readWorkspace: async (directory) => ({ forge: path.join(directory, ".mic/forge"), project: "local/work" }),
});

describe("parseAddress()", () => {
  it.each(["/srv/forge", "./x", "../x", ".", "..", "file:///srv/x", "C:\\x", "\\\\host\\share"])(
    "%s is a directory",
    (text) => expect(parseAddress(text, cwd).kind).toBe("directory"),
  );
  it.each(["http://h/o/p", "https://good@evil/o/p", "S3://bucket/o/p"])("%s is remote", (text) =>
    expect(parseAddress(text, cwd).kind).toBe("remote"),
  );
  it.each(["org/project", "project", "-rf", ".hidden/x"])("%s is plain", (text) =>
    expect(parseAddress(text, cwd).kind).toBe("plain"),
  );
  it.each(["", "ftp://h/o/p", "https://h/a\nb", "file://host/x"])("%j is refused as usage", (text) =>
    expect(() => parseAddress(text, cwd)).toThrow(expect.objectContaining({ code: "usage" })),
  );
});

describe("resolveProject()", () => {
  it("takes a forge directory with /org/project after it, also as a file URL", async () => {
    const expected = { forge, project: "ada/notes" };
    expect(await resolveProject("./forge/ada/notes", context())).toEqual(expected);
    expect(await resolveProject(pathToFileURL(`${forge}/ada/notes`).href, context())).toEqual(expected);
  });

  it("takes a workspace for the project it belongs to, or its forge with a project after it", async () => {
    const own = path.join(cwd, "work/.mic/forge");
    expect(await resolveProject("./work", context())).toEqual({ forge: own, project: "local/work" });
    expect(await resolveProject("./work/ada/x", context())).toEqual({ forge: own, project: "ada/x" });
  });

  it("looks plain names up at the server, through aliases", async () => {
    expect(await resolveProject("ada/x", context("./forge"))).toEqual({ forge, project: "ada/x" });
    expect(await resolveProject("ada/x", context("home", { home: "main", main: forge }))).toEqual({
      forge,
      project: "ada/x",
    });
  });

  it.each([
    ["ada/x", "usage"],
    ["./forge", "usage"],
    ["./missing/ada/x", "not-found"],
    ["https://h", "usage"],
    ["https://h/ada", "usage"],
    ["https://h/ada/x/y", "usage"],
    ["https://good@evil/ada/x", "usage"],
    ["https://h/ada/x?y", "usage"],
    ["s3://bucket", "usage"],
    ["s3://bucket/x", "usage"],
    ["s3:///ada/x", "usage"],
    ["s3://Bucket/ada/x", "usage"],
    ["s3://key:secret@bucket/ada/x", "usage"],
    ["s3://localhost:9000/bucket/ada/x", "usage"],
    ["s3://bucket/../ada/x", "usage"],
    ["s3://bucket/a//ada/x", "usage"],
    ["s3://bucket/ada/x?endpoint=http://evil", "usage"],
  ])("%s without more is %s", async (text, code) => {
    await expect(resolveProject(text, context())).rejects.toMatchObject({ code });
  });

  it("takes a server's URL with /org/project after it, and servers for plain names", async () => {
    const expected = { forge: "https://h:8443", project: "ada/x" };
    expect(await resolveProject("HTTPS://H:8443/ada/x/", context())).toEqual(expected);
    expect(await resolveProject("ada/x", context("https://h:8443/"))).toEqual(expected);
    expect(await resolveProject("ada/x", context("work", { work: "https://h:8443" }))).toEqual(expected);
    await expect(resolveForge("https://h/ada/x", context())).rejects.toMatchObject({ code: "usage" });
  });

  it("takes the last two parts of a bucket's address for the project, the rest for the forge", async () => {
    const expected = { forge: "s3://bucket/team/forge", project: "ada/x" };
    expect(await resolveProject("s3://bucket/team/forge/ada/x", context())).toEqual(expected);
    expect(await resolveProject("S3://bucket/team/forge/ada/x/", context())).toEqual(expected);
    expect(await resolveProject("s3://bucket/ada/x", context())).toEqual({
      forge: "s3://bucket",
      project: "ada/x",
    });
    expect(await resolveProject("ada/x", context("s3://bucket/team/forge/"))).toEqual(expected);
    expect(await resolveForge("s3://bucket/team/", context())).toBe("s3://bucket/team");
    expect(await resolveForge("b", context(undefined, { b: "s3://bucket" }))).toBe("s3://bucket");
  });

  it("refuses an option in a name's place, and aliases that lead in a circle", async () => {
    await expect(resolveProject("-rf", context("./forge"))).rejects.toMatchObject({ code: "usage" });
    await expect(resolveForge("a", context(undefined, { a: "b", b: "a" }))).rejects.toMatchObject({
      code: "usage",
    });
  });
});
