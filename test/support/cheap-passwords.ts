/** Passwords hashed at the least cost, for tests in which what a hash costs is not the question. */
import { systemRandom } from "../../src/core/base/system.ts";
import { PasswordHasher } from "../../src/server/auth/password.ts";

export function cheapPasswords(): PasswordHasher {
  return new PasswordHasher({ random: systemRandom, cost: { ln: 4, r: 8, p: 1 } });
}
