/** From settings to an open store: the credentials' sources and the region's default are found here. */
import { readFileSync } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import { MicError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { openCredentials } from "./credentials/chain.ts";
import { profileCertificates, profileRegion } from "./credentials/profile-settings.ts";
import type { Environment, S3Settings } from "./environment.ts";
import { openS3Store, type S3Store } from "./open.ts";
import type { S3RequestStats, S3TransportName } from "./options.ts";
import { readProxySettings } from "./proxy.ts";

export interface ConnectS3 {
  readonly env: Environment;
  /** `fetch` costs nothing to load and suits a command; `undici` suits a server. */
  readonly transport: S3TransportName;
  readonly clock: Clock;
  readonly random: Random;
  readonly timeoutMs?: number;
  readonly patienceMs?: number;
  readonly onRequest?: (stats: S3RequestStats) => void;
}

export const REGION_DEFAULT = "us-east-1";

/** Trusted for the store, beside what the system trusts. Errors: `usage`. */
function readCertificates(env: Environment): string | undefined {
  const file = env["AWS_CA_BUNDLE"] || profileCertificates(env);
  if (file === undefined) return undefined;
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new MicError("usage", `the certificates of AWS_CA_BUNDLE cannot be read from ${file}`, {
      hint: "name a PEM file, or unset it (ca_bundle in the profile)",
      cause,
    });
  }
}

/** Nothing is sent to the bucket yet. Errors: `usage`, `unsupported`, `unauthenticated` for broken profiles. */
export async function connectS3(settings: S3Settings, options: ConnectS3): Promise<S3Store> {
  const { env, clock, random, transport, timeoutMs, patienceMs, onRequest } = options;
  const { bucket, prefix, endpoint, addressing, encryption, explicit } = settings;
  const certificates = readCertificates(env);
  const proxy = readProxySettings(env);
  const region = settings.region ?? profileRegion(env) ?? REGION_DEFAULT;
  return await openS3Store({
    bucket,
    prefix,
    region,
    transport,
    clock,
    random,
    credentials: openCredentials({
      env,
      clock,
      random,
      region,
      ...(explicit === undefined ? {} : { explicit }),
    }),
    ...(certificates === undefined ? {} : { certificates }),
    ...(proxy === undefined ? {} : { proxy }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(addressing === undefined ? {} : { addressing }),
    ...(encryption === undefined ? {} : { encryption }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(patienceMs === undefined ? {} : { patienceMs }),
    ...(onRequest === undefined ? {} : { onRequest }),
  });
}
