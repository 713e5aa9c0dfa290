/** What opens a store on a bucket. Reading it from an environment is not done here. */
import type { Clock } from "../../base/clock.ts";
import type { Random } from "../../base/random.ts";
import type { CredentialSource } from "./credentials-types.ts";
import type { ProxySettings } from "./proxy.ts";

/** `gcs`: Google's own headers and signature, for its generations as preconditions. */
export type S3Dialect = "s3" | "gcs";
/** `path`: endpoint/bucket/key. `virtual`: bucket.endpoint/key. */
export type S3Addressing = "path" | "virtual";
/** `fetch` costs nothing to load and suits a command; `undici` suits a server. */
export type S3TransportName = "fetch" | "undici";

export type S3Encryption =
  | { readonly kind: "AES256" }
  /** Without a key id: the bucket's own. */
  | { readonly kind: "aws:kms"; readonly keyId?: string };

export interface S3Options {
  readonly bucket: string;
  /** "" or "a/b/": before every key. */
  readonly prefix: string;
  readonly region: string;
  /** URL without a path. Default: AWS in `region`. */
  readonly endpoint?: string;
  /** Default: virtual on AWS (path for a bucket with dots in its name), path elsewhere. */
  readonly addressing?: S3Addressing;
  /** Default: by the endpoint's host. */
  readonly dialect?: S3Dialect;
  readonly credentials: CredentialSource;
  readonly transport: S3TransportName;
  readonly encryption?: S3Encryption;
  /** PEM, trusted beside the runtime's and the system's. */
  readonly certificates?: string;
  /** For `undici`; `fetch` follows the process's environment. */
  readonly proxy?: ProxySettings;
  readonly clock: Clock;
  readonly random: Random;
  /** Without an answer, and between two pieces of one. Large bodies get more. Default 30 s. */
  readonly timeoutMs?: number;
  /**
   * One call altogether, its repetitions and the pauses between them included; bodies get the time that they take on
   * a slow line. Default 120 s.
   */
  readonly patienceMs?: number;
  /** After every request, for counters and tests. Must not throw. */
  readonly onRequest?: (stats: S3RequestStats) => void;
}

export type S3Operation =
  | "get"
  | "head"
  | "put"
  | "swap"
  | "list"
  | "delete"
  | "multipart-start"
  | "multipart-part"
  | "multipart-complete"
  | "multipart-abort"
  | "time";

export interface S3RequestStats {
  readonly operation: S3Operation;
  /** HTTP status; 0: no answer came. */
  readonly status: number;
  /** Bytes of the bodies. */
  readonly sent: number;
  readonly received: number;
  readonly durationMs: number;
  /** 0 for the first, then one for each repetition. */
  readonly attempt: number;
}
