/** `mic serve` as the command line sees it: the composition root brings the server and the command line together. */
import type { Clock } from "../core/base/clock.ts";
import type { Random } from "../core/base/random.ts";
import type { S3Defaults } from "../core/store/s3/environment.ts";

export interface ServeFlags {
  readonly data?: string;
  readonly listen?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly insecureListen?: boolean;
  readonly publicUrl?: string;
  readonly allowedHost?: string;
  readonly trustedProxy?: string;
  readonly corsOrigin?: string;
  readonly rateLimit?: string;
  readonly allowOutbound?: string;
  readonly s3Bucket?: string;
  readonly s3Endpoint?: string;
  readonly s3Region?: string;
  readonly s3Prefix?: string;
  readonly cachePath?: string;
  readonly cacheMaxBytes?: string;
  readonly cacheMemoryMaxBytes?: string;
  readonly cdnBaseUrl?: string;
  readonly cdnTimeoutMs?: string;
  readonly presignedUrls?: boolean;
  readonly authReplica?: string;
  readonly authReplicaEndpoint?: string;
  readonly authRole?: string;
  readonly advertiseUrl?: string;
}

export interface StartServerRequest {
  readonly flags: ServeFlags;
  readonly world: {
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly platform: NodeJS.Platform;
    readonly isRoot: boolean;
    readonly cwd: string;
    /** Where buckets are, of the configuration. */
    readonly s3Defaults?: S3Defaults;
  };
  readonly clock: Clock;
  readonly random: Random;
  readonly version: string;
  /** One line for each log record, without its line break. */
  readonly logFormat: "json" | "text";
  readonly writeLog: (line: string) => void;
  readonly verbose: boolean;
}

export interface RunningServerHandle {
  readonly url: string;
  readonly dataDirectory: string;
  /** A directory, or `s3://bucket/prefix`. */
  readonly storage: string;
  /** Present when this start made it. */
  readonly newOwnerToken: string | undefined;
  readonly log: { error(event: string, fields?: Readonly<Record<string, unknown>>): void };
  /** Resolves, with the reason, when the store is refused after the start. */
  readonly refused: Promise<unknown>;
  /** Finishes running calls, takes no more, and closes the store. */
  drain(): Promise<void>;
}

export interface ServerProgram {
  startServer(request: StartServerRequest): Promise<RunningServerHandle>;
}
