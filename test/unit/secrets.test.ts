import { describe, expect, it } from "vitest";
import type { TreePath } from "../../src/core/base/path.ts";
import type { StatusChange } from "../../src/core/workspace/results.ts";
import { findSecrets } from "../../src/core/workspace/secrets.ts";

const BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ";
const KEY = `-----BEGIN RSA PRIVATE KEY-----\n${BODY}\n`;

function find(files: Readonly<Record<string, string>>, op: StatusChange["op"] = "add"): string[] {
  const changes = Object.entries(files).map(
    ([path, content]): StatusChange => ({
      op,
      path: path as TreePath,
      kind: "file",
      size: Buffer.byteLength(content),
    }),
  );
  return findSecrets(changes, (path) => Buffer.from(files[path]!)).map((finding) => finding.path);
}

describe("findSecrets()", () => {
  it("finds environment files with values", () => {
    expect(find({ ".env": "A=1\n", "app/.env.production": "export TOKEN='x'\n" })).toEqual([
      ".env",
      "app/.env.production",
    ]);
  });

  it("leaves samples, empty values, comments and other names alone", () => {
    expect(
      find({ ".env": "# A=1\nB=\n", ".env.example": "A=1\n", ".envrc": "A=1\n", "x.env.ts": "A=1\n" }),
    ).toEqual([]);
  });

  it("finds private keys under any name", () => {
    const putty = "PuTTY-User-Key-File-3: ssh-ed25519\n";
    const openssh = KEY.replace("RSA", "OPENSSH");
    const encrypted = `-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\n${BODY}\n`;
    expect(
      find({
        "a.pem": KEY,
        id_ed25519: openssh,
        "notes.txt": `see\n${KEY}`,
        "k.ppk": putty,
        "e.key": encrypted,
      }),
    ).toEqual(["a.pem", "id_ed25519", "notes.txt", "k.ppk", "e.key"]);
  });

  it("leaves certificates, public keys and code that names the marker alone", () => {
    expect(
      find({
        "cert.pem": `-----BEGIN CERTIFICATE-----\n${BODY}\n`,
        "id_rsa.pub": "ssh-rsa AAAA",
        "scan.ts": 'if (text.includes("-----BEGIN PRIVATE KEY-----")) warn();\n',
      }),
    ).toEqual([]);
  });

  it("looks at a modified file for keys, but does not repeat itself about a known .env", () => {
    expect(find({ ".env": "A=1\n", "deploy.txt": KEY }, "modify")).toEqual(["deploy.txt"]);
    expect(find({ "a.pem": KEY }, "delete")).toEqual([]);
  });

  it("reads only files with telling names when there are many", () => {
    const many = Object.fromEntries(Array.from({ length: 600 }, (_, i) => [`f${i}`, KEY]));
    expect(find({ ...many, "x.pem": KEY })).toEqual(["x.pem"]);
  });
});
