/**
 * Places in a list that tell nothing: where a page ends at something that its reader may not see, `next` is that name,
 * encrypted. Servers that share their accounts share the key.
 *
 *     ~ base64url(nonce, 12 bytes | AES-256-GCM of the name, with zeros to 256 bytes | tag, 16 bytes)
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { MicError } from "../../core/base/errors.ts";

/** No name begins with it. */
const MARK = "~";
const CIPHER = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** More than any name has: no place tells how long its name is. */
const NAME_BYTES = 256;
const CHARACTERS_MAX = 1_000;

export class SealedCursors {
  readonly #shared: () => Uint8Array | undefined;
  /** For a server that has no key yet: it understands its own. */
  readonly #own = randomBytes(32);

  /** `shared`: a secret of the servers; what is made of it here is good for nothing else. */
  constructor(shared: () => Uint8Array | undefined = () => undefined) {
    this.#shared = shared;
  }

  seal(name: string): string {
    const padded = Buffer.alloc(Math.ceil((Buffer.byteLength(name) + 1) / NAME_BYTES) * NAME_BYTES);
    padded.write(name);
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#key(), nonce);
    const sealed = [nonce, cipher.update(padded), cipher.final(), cipher.getAuthTag()];
    return MARK + Buffer.concat(sealed).toString("base64url");
  }

  /** What is no sealed one is returned as it is. Errors: `usage`. */
  open(after: string): string {
    if (!after.startsWith(MARK)) return after;
    const bytes = Buffer.from(after.slice(MARK.length), "base64url");
    if (after.length > CHARACTERS_MAX || bytes.length < NONCE_BYTES + TAG_BYTES) throw noPlace();
    const tagAt = bytes.length - TAG_BYTES;
    try {
      const decipher = createDecipheriv(CIPHER, this.#key(), bytes.subarray(0, NONCE_BYTES));
      decipher.setAuthTag(bytes.subarray(tagAt));
      const padded = decipher.update(bytes.subarray(NONCE_BYTES, tagAt));
      decipher.final();
      return padded.toString("utf8", 0, padded.indexOf(0));
    } catch (cause) {
      throw noPlace(cause);
    }
  }

  #key(): Uint8Array {
    const secret = this.#shared() ?? this.#own;
    return new Uint8Array(hkdfSync("sha256", secret, "", "mic list cursors", 32));
  }
}

function noPlace(cause?: unknown): MicError {
  return new MicError("usage", "`after` is no place in this list", {
    hint: "pass what was `next` on the page before, or begin again",
    cause,
  });
}
