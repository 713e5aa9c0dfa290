/**
 * What a new password must be, after NIST SP 800-63B: long enough, not among the first that are tried, not the user's
 * own name; no rules about kinds of characters.
 */
import { MicError } from "../../core/base/errors.ts";
import { PASSWORD_BYTES_MAX } from "./password.ts";

export const PASSWORD_CHARACTERS_MIN = 8;

/** In lower case; those of at least eight characters, of the lists of leaked passwords. */
const COMMON: ReadonlySet<string> = new Set(
  `00000000 11111111 111111111 1111111111 11223344 12121212 123123123 12341234 12344321 12345678 123456789 1234567890
  1234567891 123456abc 1234qwer 123qweasd 147258369 1q2w3e4r 1q2w3e4r5t 1qaz2wsx 1qaz2wsx3edc 22222222 55555555
  66666666 77777777 87654321 88888888 987654321 9876543210 99999999 aaaaaaaa abc12345 abcd1234 abcdefgh admin123
  admin1234 administrator asdf1234 asdfasdf asdfghjk asdfghjkl baseball basketball butterfly changeit changeme
  charlie1 computer corvette danielle dragon123 football football1 iloveyou iloveyou1 internet jennifer letmein1
  liverpool maverick mercedes michael1 michelle mypassword p@ssw0rd p@ssword passw0rd passwort password password1
  password12 password123 password1234 princess princess1 q1w2e3r4 q1w2e3r4t5 qazwsxedc qwer1234 qwerty12 qwerty123
  qwerty1234 qwertyui qwertyuiop qwertz123 samantha secret123 starwars sunshine sunshine1 superman test1234 testtest
  trustno1 victoria welcome1 welcome123 whatever zaq12wsx zxcvbnm1 zxcvbnm123 correcthorsebatterystaple`.split(
    /\s+/,
  ),
);

/** Errors: `usage`. */
export function checkNewPassword(
  password: string,
  user: { readonly name: string; readonly email?: string },
): void {
  if (Buffer.byteLength(password) > PASSWORD_BYTES_MAX) {
    throw new MicError("usage", `a password has at most ${PASSWORD_BYTES_MAX} bytes`);
  }
  const characters = [...password.normalize("NFKC")];
  if (characters.length < PASSWORD_CHARACTERS_MIN) {
    throw refused(`a password has at least ${PASSWORD_CHARACTERS_MIN} characters`);
  }
  const folded = characters.join("").toLowerCase();
  const isOneCharacter = new Set(folded).size === 1;
  if (isOneCharacter || COMMON.has(folded)) throw refused("this password is among the first that are tried");
  const own = [user.name, user.email, user.email?.split("@", 1)[0]];
  if (own.some((each) => each?.toLowerCase() === folded)) {
    throw refused("the password is the user's own name or address");
  }
}

function refused(message: string): MicError {
  return new MicError("usage", message, {
    hint: "several words that nobody else would put together are good",
  });
}
