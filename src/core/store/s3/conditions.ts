/** How a version is named and asked for: ETags on S3, generations on Google's stores. */
import type { ETag } from "../object-store.ts";
import type { S3Dialect } from "./options.ts";
import type { TransportAnswer } from "./transport.ts";

type Headers = Readonly<Record<string, string>>;

/**
 * `"…"` and nothing around it, or a bare word as some stores give. Anything else is no version of any store, and
 * a header would carry it changed (spaces), or as several (commas), or as every version (`*`).
 */
const ETAG = /^(?:W\/)?"[\x21\x23-\x7e]*"$|^[A-Za-z0-9_.+/=:-]+$/;

export function isEtag(text: string): boolean {
  return ETAG.test(text);
}

export class Conditions {
  readonly #dialect: S3Dialect;

  constructor(dialect: S3Dialect) {
    this.#dialect = dialect;
  }

  /** A failed precondition on a missing key is answered as one on another version. */
  get is412WhenMissing(): boolean {
    return this.#dialect === "gcs";
  }

  etagOf(answer: TransportAnswer): ETag | undefined {
    const header = this.#dialect === "gcs" ? "x-goog-generation" : "etag";
    const value = answer.header(header);
    return value === undefined || value === "" ? undefined : value;
  }

  /** For a write. `null`: only where the key does not exist. */
  ifMatch(expected: ETag | null): Headers {
    if (this.#dialect === "gcs") return { "x-goog-if-generation-match": expected ?? "0" };
    return expected === null ? { "if-none-match": "*" } : { "if-match": expected };
  }

  /**
   * For a read. `undefined`: there is no such header, the version must be asked for first. (Google's
   * If-None-Match compares ETags, which are equal for equal content of different generations.)
   */
  ifChanged(etag: ETag): Headers | undefined {
    return this.#dialect === "gcs" ? undefined : { "if-none-match": etag };
  }
}
