import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { POLICY_BYTES_MAX, parsePolicy } from "../../src/core/secrets/policy.ts";
import { SECRET_RULES } from "../../src/core/secrets/rules.ts";
import { findSecretsIn, SCANNED_BYTES_MAX, SearchedContent } from "../../src/core/secrets/scanner.ts";

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
    const none = [".env.example", ".ENV.Sample", "example.env", "x-template.env", ".env.d/readme"];
    for (const path of [...none, "x.env.ts", "env", "prod.env.example", "netrc"]) {
      expect([path, find("A=1\npassword hunter22\n", path)]).toEqual([path, []]);
    }
    expect(find("# A=1\nB=\n", ".env")).toEqual([]);
  });

  it.each([".env", ".ENV", "e/.Env", ".env.local", "d/.envrc", "c/prod.env", "PROD.ENV"])(
    "knows %s for a file of an environment, however it is written",
    (path) => {
      const text = "A=\nexport TOKEN=abc\n";
      const written = [
        Buffer.from(text),
        Buffer.from(`\uFEFF${text}`),
        Buffer.from(`\uFEFF${text}`, "utf16le"),
        Buffer.from(`\uFEFF${text}`, "utf16le").swap16(),
      ];
      for (const bytes of written) expect(find(bytes, path)).toEqual(["2 values of an environment file"]);
      // UTF-16 that does not say so is as good as binary, and has no lines.
      const unmarked = Buffer.from(text, "utf16le");
      expect(find(unmarked, path)).toEqual(["1 values of an environment file"]);
    },
  );

  it("says of a binary file with such a name that it is there, unless it is encrypted", () => {
    expect(find("A=1\0\n", ".env")).toEqual(["1 values of an environment file"]);
    expect(find("\0GITCRYPT\0\u0001\u0002", ".env")).toEqual([]);
    expect(find("\u0085\0\u0001", ".env.gpg")).toEqual([]);
    expect(find("machine h password hunter22\0", ".netrc")).toEqual([]);
  });

  it("reads UTF-16 that begins with a byte order mark", () => {
    const text = `\uFEFFä\nx ghp_${random(36)}\n`;
    const bytes = Buffer.from(text, "utf16le");
    expect(find(bytes)).toEqual(["2 a GitHub token"]);
    expect(find(Buffer.from(bytes).swap16())).toEqual(["2 a GitHub token"]);
    expect(find(bytes.subarray(0, bytes.length - 1))).toEqual(["2 a GitHub token"]);
  });

  it.each([
    [0xff, 0xfe],
    [0xfe, 0xff],
  ])("is not led astray by bytes %i and %i before what is no UTF-16", (...mark) => {
    const text = `\nx ghp_${random(36)}\n`;
    expect(find(Buffer.concat([Buffer.from(mark), Buffer.from(text)]))).toEqual(["2 a GitHub token"]);
  });

  it("does not look at binary content, nor beyond the first MiB", () => {
    const token = ` ghp_${random(36)} `;
    expect(find(`\0${token}`)).toEqual([]);
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

describe("SearchedContent", () => {
  it("finds at each path what a search for that path finds", () => {
    const paths = [".env", "a.txt", "b/.env", ".netrc", ".env.gpg", "x/.NETRC"];
    const token = `ghp_${random(36)}`;
    for (const text of ["A=1\n", "A=1\0", "password hunter22\n", `A=${token}\n`, "", "\uFEFFA=1\n"]) {
      const content = Buffer.from(text);
      const searched = new SearchedContent(content);
      expect(paths.map((path) => searched.findAt(path))).toEqual(
        paths.map((path) => findSecretsIn(path, content)),
      );
    }
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
    ["secrets = refuse\nsecrets = report\n", "report"],
    ["secrets refuse\nmy secrets = refuse\n", "report"],
    ["\uFEFFsecrets = refuse\n", "refuse"],
  ])("%j means %s, in any encoding", (text, secrets) => {
    expect(parsePolicy(Buffer.from(text))).toEqual({ secrets });
    const wide = Buffer.from(`\uFEFF${text}`, "utf16le");
    expect(parsePolicy(wide)).toEqual({ secrets });
    expect(parsePolicy(wide.swap16())).toEqual({ secrets });
  });

  it("a file too large for a policy, which may have been meant as one, refuses", () => {
    expect(parsePolicy(new Uint8Array(POLICY_BYTES_MAX + 1))).toEqual({ secrets: "refuse" });
  });

  it("takes linear time", () => {
    const begun = process.cpuUsage().user;
    parsePolicy(Buffer.from(`secrets =${" ".repeat(POLICY_BYTES_MAX / 2)}x${" ".repeat(10_000)}#`));
    parsePolicy(Buffer.from("=".repeat(POLICY_BYTES_MAX)));
    expect((process.cpuUsage().user - begun) / 1000).toBeLessThan(200);
  });
});
