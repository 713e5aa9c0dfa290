/** The object servers that `npm run test:real` started for the kits. */
import { randomUUID } from "node:crypto";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { openS3Store, type S3Store } from "../../src/core/store/s3/open.ts";
import type { S3Options, S3TransportName } from "../../src/core/store/s3/options.ts";

/** One of the array in MIC_REAL_SERVERS. */
export interface RealServer {
  readonly kind: string;
  readonly endpoint: string;
  /** Empty, for the kits alone. */
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export function realServers(): readonly RealServer[] {
  const text = process.env["MIC_REAL_SERVERS"];
  if (text === undefined) throw new Error("MIC_REAL_SERVERS is not set: run this with npm run test:real");
  return JSON.parse(text) as RealServer[];
}

/** A prefix that nobody used, so that tests may share a bucket. */
export function freshPrefix(): string {
  return `${randomUUID()}/`;
}

export function realOptions(server: RealServer, prefix: string, transport: S3TransportName): S3Options {
  const { accessKeyId, secretAccessKey, bucket, endpoint } = server;
  return {
    bucket,
    prefix,
    region: "us-east-1",
    endpoint,
    credentials: { get: async () => ({ accessKeyId, secretAccessKey }) },
    transport,
    clock: systemClock,
    random: systemRandom,
  };
}

export function openRealStore(
  server: RealServer,
  prefix: string,
  transport: S3TransportName,
): Promise<S3Store> {
  return openS3Store(realOptions(server, prefix, transport));
}
