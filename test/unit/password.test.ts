import { describe, expect, test } from "vitest";
import { systemRandom } from "../../src/core/base/system.ts";
import { PASSWORD_BYTES_MAX, PASSWORD_COST, PasswordHasher } from "../../src/server/auth/password.ts";
import { checkNewPassword } from "../../src/server/auth/password-rules.ts";

const CHEAP = { ln: 4, r: 8, p: 1 };
const failsWith = (code: string) => expect.objectContaining({ code });
const unpadded = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64").replace(/=+$/, "");

describe("PasswordHasher", () => {
  test("writes a PHC string with a salt of its own, and knows the password again", async () => {
    const hasher = new PasswordHasher({ random: systemRandom });
    const [one, two] = await Promise.all([hasher.hash("a secret"), hasher.hash("a secret")]);
    expect(one).toMatch(/^\$scrypt\$ln=15,r=8,p=3\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(two).not.toBe(one);
    expect(await hasher.verify("a secret", one)).toBe(true);
    expect(await hasher.verify("a Secret", one)).toBe(false);
    expect(await hasher.verify("", one)).toBe(false);
  });

  test("is scrypt as RFC 7914 has it", async () => {
    // Section 12, the third vector.
    const hash = Buffer.from(
      "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2" +
        "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887",
      "hex",
    );
    const stored = `$scrypt$ln=14,r=8,p=1$${unpadded(Buffer.from("SodiumChloride"))}$${unpadded(hash)}`;
    const hasher = new PasswordHasher({ random: systemRandom });
    expect(await hasher.verify("pleaseletmein", stored)).toBe(true);
    expect(await hasher.verify("pleaseletmeiN", stored)).toBe(false);
  });

  // A busy machine may spoil a measurement; what is wrong fails them all.
  test("without a stored hash it takes as long, and says no", { retry: 4 }, async () => {
    const hasher = new PasswordHasher({ random: systemRandom });
    const stored = await hasher.hash("a secret");
    const timed = async (hash: string | undefined): Promise<number> => {
      const startedMs = performance.now();
      expect(await hasher.verify("another one", hash)).toBe(false);
      return performance.now() - startedMs;
    };
    const known = Math.min(await timed(stored), await timed(stored));
    const unknown = Math.min(await timed(undefined), await timed(undefined));
    expect(unknown).toBeGreaterThan(known / 3);
    expect(unknown).toBeLessThan(known * 3);
  });

  test.each([
    "",
    "plain",
    "$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "$scrypt$ln=0,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    // It would take 32 GiB.
    "$scrypt$ln=25,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "$scrypt$ln=4,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$",
  ])("the stored hash %j is corrupt", async (stored) => {
    const hasher = new PasswordHasher({ random: systemRandom, cost: CHEAP });
    await expect(hasher.verify("a secret", stored)).rejects.toThrow(failsWith("corrupt"));
  });

  test("refuses a password of a megabyte before it hashes, in no time", { retry: 4 }, async () => {
    const hasher = new PasswordHasher({ random: systemRandom });
    const startedMs = performance.now();
    await expect(hasher.verify("x".repeat(1 << 20), undefined)).rejects.toThrow(failsWith("too-large"));
    await expect(hasher.verify("ü".repeat(PASSWORD_BYTES_MAX / 2 + 1), undefined)).rejects.toThrow(
      failsWith("too-large"),
    );
    expect(performance.now() - startedMs).toBeLessThan(50);
    expect(await hasher.verify("ü".repeat(PASSWORD_BYTES_MAX / 2), undefined)).toBe(false);
  });

  test("hashes two at a time, keeps a hundred waiting, and sends the rest away", async () => {
    const hasher = new PasswordHasher({ random: systemRandom, cost: CHEAP });
    const all = await Promise.allSettled(Array.from({ length: 110 }, () => hasher.hash("a secret")));
    const refused = all.filter((each) => each.status === "rejected");
    expect(refused).toHaveLength(8);
    for (const { reason } of refused) expect(reason).toEqual(failsWith("unreachable"));
    // The others have left: there is room again.
    expect(await hasher.hash("a secret")).toMatch(/^\$scrypt/);
  });

  test("hashing does not hold up everything else", async () => {
    const hasher = new PasswordHasher({ random: systemRandom, cost: PASSWORD_COST });
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await Promise.all([hasher.hash("a"), hasher.hash("b"), hasher.hash("c")]);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
  });
});

describe("checkNewPassword()", () => {
  const user = { name: "theodora", email: "dora.smith@example.org" };

  test.each([
    "correct horse battery",
    "12345678901",
    "ℵ₀ is not enough",
    "пароль-не-из-списка",
    "    spaces",
  ])("%j is good", (password) => expect(() => checkNewPassword(password, user)).not.toThrow());

  test.each([
    "",
    "short12",
    "😀😀😀😀",
    "password",
    "PassWord1",
    "qwertyuiop",
    "zzzzzzzzzzzz",
    "Theodora",
    "dora.smith",
    "Dora.Smith@example.org",
    "x".repeat(1025),
    // Full width: the same after NFKC.
    "ｐａｓｓｗｏｒｄ",
  ])("%j is refused", (password) => {
    expect(() => checkNewPassword(password, user)).toThrow(failsWith("usage"));
  });
});
