/**
 * Password hashes: scrypt (RFC 7914) as `$scrypt$ln=15,r=8,p=3$salt$hash`, the PHC string format with unpadded
 * base64. The parameters are one of the sets that OWASP names as equal; this one takes the least memory, 32 MiB for
 * each hash that is running.
 */
import { scrypt, timingSafeEqual } from "node:crypto";
import { asBuffer } from "../../core/base/bytes.ts";
import { MicError } from "../../core/base/errors.ts";
import type { Random } from "../../core/base/random.ts";

export const PASSWORD_BYTES_MAX = 1024;
/** More would take the memory and the cores that landings need. */
const RUNNING_MAX = 2;
const WAITING_MAX = 100;

interface Cost {
  /** log2 of scrypt's N. */
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

export const PASSWORD_COST: Cost = { ln: 15, r: 8, p: 3 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** A stored hash that asks for more than this was not written here. */
const MEMORY_BYTES_MAX = 256 << 20;
const PHC =
  /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{16,86})\$([A-Za-z0-9+/]{22,86})$/;

export interface PasswordHasherOptions {
  readonly random: Random;
  /** Tests take less. */
  readonly cost?: Cost;
}

export class PasswordHasher {
  readonly #random: Random;
  readonly #cost: Cost;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor({ random, cost = PASSWORD_COST }: PasswordHasherOptions) {
    this.#random = random;
    this.#cost = cost;
  }

  /** Errors: `too-large`, `unreachable` when too many are waiting. */
  async hash(password: string): Promise<string> {
    const salt = this.#random.bytes(SALT_BYTES);
    const { ln, r, p } = this.#cost;
    const hashed = await this.#derive(password, salt, HASH_BYTES, this.#cost);
    return `$scrypt$ln=${ln},r=${r},p=${p}$${unpadded(salt)}$${unpadded(hashed)}`;
  }

  /** Without a stored hash it takes as long, and says no. Errors: as of `hash`; `corrupt`. */
  async verify(password: string, stored: string | undefined): Promise<boolean> {
    const { cost, salt, hashed } = stored === undefined ? this.#nobody() : decode(stored);
    const found = await this.#derive(password, salt, hashed.length, cost);
    return timingSafeEqual(found, hashed) && stored !== undefined;
  }

  /** True for a hash that costs less to guess than one made now would. */
  isOutdated(stored: string): boolean {
    const { cost } = decode(stored);
    return cost.ln < this.#cost.ln || cost.r < this.#cost.r || cost.p < this.#cost.p;
  }

  #nobody(): Stored {
    return { cost: this.#cost, salt: new Uint8Array(SALT_BYTES), hashed: new Uint8Array(HASH_BYTES) };
  }

  async #derive(password: string, salt: Uint8Array, length: number, cost: Cost): Promise<Buffer> {
    checkPasswordSize(password);
    await this.#enter();
    try {
      // The same text may be typed in several Unicode forms.
      return await derive(password.normalize("NFKC"), salt, length, cost);
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  #enter(): Promise<void> | undefined {
    if (this.#running < RUNNING_MAX) {
      this.#running++;
      return undefined;
    }
    if (this.#waiting.length >= WAITING_MAX) {
      throw new MicError("unreachable", "too many people are signing in", { hint: "try again in a minute" });
    }
    const turn = Promise.withResolvers<void>();
    this.#waiting.push(() => {
      this.#running++;
      turn.resolve();
    });
    return turn.promise;
  }
}

/** Errors: `too-large`. To be called before anything else is done with a password that was sent. */
export function checkPasswordSize(password: string): void {
  if (password.length > PASSWORD_BYTES_MAX || Buffer.byteLength(password) > PASSWORD_BYTES_MAX) {
    throw new MicError("too-large", `a password has at most ${PASSWORD_BYTES_MAX} bytes`);
  }
}

interface Stored {
  readonly cost: Cost;
  readonly salt: Uint8Array;
  readonly hashed: Uint8Array;
}

function decode(stored: string): Stored {
  const found = PHC.exec(stored);
  const cost = { ln: Number(found?.[1]), r: Number(found?.[2]), p: Number(found?.[3]) };
  const isSane = cost.ln >= 1 && cost.r >= 1 && cost.p >= 1 && memoryOf(cost) <= MEMORY_BYTES_MAX;
  if (found === null || !isSane) {
    throw new MicError("corrupt", "a stored password hash cannot be read", {
      hint: "set another password: mic admin user reset-password",
    });
  }
  return { cost, salt: Buffer.from(found[4]!, "base64"), hashed: Buffer.from(found[5]!, "base64") };
}

/** Bytes. */
function memoryOf({ ln, r, p }: Cost): number {
  return 128 * r * (2 ** ln + p);
}

function derive(password: string, salt: Uint8Array, length: number, cost: Cost): Promise<Buffer> {
  const { ln, r, p } = cost;
  const options = { N: 2 ** ln, r, p, maxmem: 2 * MEMORY_BYTES_MAX };
  return new Promise((resolve, reject) => {
    scrypt(password, salt, length, options, (error, key) => {
      if (error) reject(error);
      else resolve(key);
    });
  });
}

function unpadded(bytes: Uint8Array): string {
  return asBuffer(bytes).toString("base64").replace(/=+$/, "");
}
