import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parsePolicy } from "../../src/core/workspace/secrets/policy.ts";
import { SECRET_RULES } from "../../src/core/workspace/secrets/rules.ts";
import { findSecretsIn, SCANNED_BYTES_MAX } from "../../src/core/workspace/secrets/scanner.ts";

const BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ";
const BEGIN = "-----BEGIN RSA PRIVATE KEY-----";
const KEY = `${BEGIN}\n${BODY}\n`;
/** As random as a key, and put together here so that nobody takes this file for a leak. */
const random = (length: number, alphabet = "q8Zr1Wk5VbT2mXc9LdJ7nYh3PfS6gRw4"): string =>
  Array.from({ length }, (_, i) => alphabet[(i * 7 + ((i / alphabet.length) | 0)) % alphabet.length]).join(
    "",
  );
const capitals = (length: number): string => random(length, "Q7ZRW5KVBT2MXCLDJ6NYHPFS");

function find(content: string | Uint8Array, path = "a.txt"): string[] {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  return findSecretsIn(path, bytes).map(({ line, kind }) => `${line} ${kind}`);
}

const samples: readonly (readonly [kind: string, text: string])[] = [
  ["a private key", KEY],
  ["a private key", `-----BEGIN OPENSSH PRIVATE KEY-----\n${BODY}\n`],
  ["a private key", `-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1\n\n${BODY}\n`],
  ["a private key", `${BEGIN}\r\nProc-Type: 4,ENCRYPTED\r\nDEK-Info: AES\r\n\r\n${BODY}\r\n`],
  ["a private key", `"private_key": "-----BEGIN PRIVATE KEY-----\\n${BODY}\\n"`],
  ["a PuTTY private key", "PuTTY-User-Key-File-3: ssh-ed25519\n"],
  ["an AWS access key", `aws_access_key_id=AKIA${capitals(16)}\naws_secret_access_key=${random(40)}\n`],
  ["an AWS access key", `secret: ${random(40)}\nid: "ASIA${capitals(16)}"`],
  ["a GitHub token", `ghp_${random(36)}`],
  ["a GitHub token", `token=gho_${random(36)};`],
  ["a GitHub token", `github_pat_${random(22)}_${random(59)}`],
  ["a GitLab token", `glpat-${random(20)}`],
  ["a Slack token", `xoxb-${"8302561947"}-${"7461930285"}-${random(24)}`],
  ["a Stripe key", `sk_live_${random(24)}`],
  ["a Google API key", `key=AIza${random(35)}&x=1`],
  ["an Anthropic key", `sk-ant-api03-${random(95)}`],
  ["an OpenAI key", `sk-${random(20)}T3BlbkFJ${random(20)}`],
  ["an OpenAI key", `OPENAI=sk-proj-${random(74)}T3BlbkFJ${random(74)}`],
  ["an npm token", `npm_${random(36)}`],
  ["a registry's token", `//registry.example.org/:_authToken=${random(32)}`],
  ["a token of mic", `mic_${random(43)}`],
  ["a token of mic", `micr_${random(43)}`],
];

describe("findSecretsIn()", () => {
  it.each(samples)("finds %s", (kind, text) => {
    // Wherever it is in the windows of the search.
    for (let pad = 0; pad < 9; pad++) {
      const lines = pad === 0 ? "" : `${"-".repeat(pad)}\n`;
      const found = find(`${lines}${text}\n`);
      expect(found).toHaveLength(1);
      expect(found[0]).toMatch(new RegExp(`^\\d ${kind}$`));
    }
  });

  it("finds each kind that it knows", () => {
    const known = new Set(samples.map(([kind]) => kind));
    expect(SECRET_RULES.map(({ kind }) => kind).filter((kind) => !known.has(kind))).toEqual([]);
  });

  it("says the line, once for each kind on it, and never the secret", () => {
    const token = `ghp_${random(36)}`;
    const found = findSecretsIn("a", Buffer.from(`\n\nx ${token} ${token}\n${KEY}`));
    expect(found).toEqual([
      { line: 3, kind: "a GitHub token" },
      { line: 4, kind: "a private key" },
    ]);
  });

  it.each([
    ["Amazon's own example", `AKIAIOSFODNN7${"EXAMPLE"} wJalrXUtnFEMI/K7MDENG/bPxRfiCY${"EXAMPLE"}KEY`],
    ["an AWS key's id without its secret", `AKIA${capitals(16)}`],
    ["a certificate", `-----BEGIN CERTIFICATE-----\n${BODY}\n`],
    ["a public key", `-----BEGIN PUBLIC KEY-----\n${BODY}\n`],
    ["code that names the marker", 'if (text.includes("-----BEGIN PRIVATE KEY-----")) warn();\n'],
    ["a key that is left out", "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n"],
    ["a placeholder", `ghp_${"x".repeat(36)} sk_live_${"0".repeat(24)} npm_${"abcdefgh".repeat(5)}`],
    ["a longer word", `thumbghp_${random(36)} dynamic_${random(43)}`],
    ["a shorter one", `ghp_${random(20)} mic_${random(42)} AIza${random(34)}`],
    ["a variable", "//registry.npmjs.org/:_authToken=$" + "{NPM_TOKEN}"],
    ["a test key", `sk_test_${random(24)}`],
  ])("leaves %s alone", (_, text) => {
    expect(find(text)).toEqual([]);
  });

  it("leaves a line alone that says so, and no other", () => {
    const token = `ghp_${random(36)}`;
    expect(find(`x = "${token}"; // mic:allow-secret\n`)).toEqual([]);
    expect(find(`// mic:allow-secret\nx = "${token}";\n`)).toEqual(["2 a GitHub token"]);
    expect(find("A=secret # mic:allow-secret\n", ".env")).toEqual([]);
  });

  it("knows files by their names", () => {
    expect(find("# A=1\nB=\nexport TOKEN='x'\n", "app/.env.production")).toEqual([
      "3 values of an environment file",
    ]);
    expect(find("machine h\n login a\n password hunter22\n", ".netrc")).toEqual(["3 a password"]);
    expect(find("[pypi]\npassword: hunter22\n", "x/.pypirc")).toEqual(["2 a password"]);
    expect(find("h:5432:*:me:hunter22\n", ".pgpass")).toEqual(["1 a password"]);
    expect(find("https://me:hunter22@forge.example.org\n", ".git-credentials")).toEqual(["1 a password"]);
    for (const path of [".env.example", ".envrc", "x.env.ts", "env", ".env.d/readme", "netrc"]) {
      expect([path, find("A=1\npassword hunter22\n", path)]).toEqual([path, []]);
    }
    expect(find("# A=1\nB=\n", ".env")).toEqual([]);
  });

  it("does not look at binary content, nor beyond the first MiB", () => {
    const token = ` ghp_${random(36)} `;
    expect(find(`\0${token}`)).toEqual([]);
    expect(find("A=1\0\n", ".env")).toEqual([]);
    const filler = "word ".repeat(SCANNED_BYTES_MAX / 5 + 1);
    expect(find(filler.slice(0, SCANNED_BYTES_MAX - token.length) + token)).toHaveLength(1);
    expect(find(filler.slice(0, SCANNED_BYTES_MAX) + token)).toEqual([]);
  });

  it("takes any bytes, and finds what is put into them", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.uint8Array({ maxLength: 300 }),
        fc.constantFrom(...samples),
        (before, after, [kind, text]) => {
          findSecretsIn("x", before);
          const clean = (bytes: Uint8Array): Buffer =>
            Buffer.from(bytes.map((byte) => (byte === 0 ? 10 : byte)));
          const content = Buffer.concat([clean(before), Buffer.from(`\n${text}\n`), clean(after)]);
          expect(findSecretsIn("x", content).map((each) => each.kind)).toContain(kind);
        },
      ),
      { numRuns: 300 },
    );
  });

  it.each([
    "AKIA",
    "ghp_",
    "-----BEGIN RSA PRIVATE KEY-----\n",
    "_authToken=",
    "sk-aT3Bl",
    "mic_",
    "A: b\n-----BEGIN ",
  ])("a MiB of %j takes little time", (text) => {
    const content = Buffer.from(text.repeat(SCANNED_BYTES_MAX / text.length));
    const begun = process.cpuUsage().user;
    findSecretsIn("x", content);
    expect((process.cpuUsage().user - begun) / 1000).toBeLessThan(1500);
  });
});

describe("parsePolicy()", () => {
  it.each([
    ["", "report"],
    ["# secrets = refuse\n", "report"],
    ["secrets = refuse", "refuse"],
    ["other = 1\r\n  secrets=refuse # always\r\n", "refuse"],
    ["secrets = report\n", "report"],
    ["secrets = a word of a later version\n", "refuse"],
  ])("%j means %s", (text, secrets) => {
    expect(parsePolicy(text)).toEqual({ secrets });
  });
});
