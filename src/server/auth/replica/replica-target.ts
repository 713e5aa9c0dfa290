/** Where the accounts are replicated to: `--auth-replica s3://bucket/prefix`, with the settings of the forge's bucket. */
import { MicError } from "../../../core/base/errors.ts";
import {
  type Environment,
  readS3Settings,
  type S3Defaults,
  type S3Settings,
} from "../../../core/store/s3/environment.ts";

export interface ReplicaFlags {
  readonly authReplica?: string;
  readonly authReplicaEndpoint?: string;
  readonly authRole?: string;
  readonly advertiseUrl?: string;
  /** Of the forge's bucket: they hold for the replica too. */
  readonly s3Endpoint?: string;
  readonly s3Region?: string;
}

/** `auto`: the primary where there is none, else a follower that takes over when the primary is gone. */
export type AuthRole = "auto" | "primary" | "follower";

export interface ReplicaOptions {
  readonly settings: S3Settings;
  readonly role: AuthRole;
  /** Where other servers reach this one; undefined: where it listens. */
  readonly advertiseUrl: string | undefined;
}

/** Objects of the replica where the address has no prefix. */
const PREFIX_DEFAULT = "auth";
const ROLES: readonly AuthRole[] = ["auto", "primary", "follower"];

/** Undefined where no replica is asked for. Errors: `usage` names the flag or variable and the line that mends it. */
export function readReplicaOptions(
  flags: ReplicaFlags,
  env: Environment,
  defaults: S3Defaults = {},
): ReplicaOptions | undefined {
  const address = flags.authReplica ?? variable(env, "MIC_AUTH_REPLICA");
  if (address === undefined) {
    const stray = flags.authRole ?? flags.authReplicaEndpoint;
    if (stray === undefined) return undefined;
    throw usage("there is no replica of the accounts to be told about", "--auth-replica s3://bucket/prefix");
  }
  const match = /^s3:\/\/([^/]+)(?:\/(.*?))?\/*$/.exec(address);
  if (match === null) {
    throw usage(
      `--auth-replica ${JSON.stringify(address)} is no bucket`,
      "--auth-replica s3://bucket/prefix",
    );
  }
  const endpoint =
    flags.authReplicaEndpoint ?? variable(env, "MIC_AUTH_REPLICA_ENDPOINT") ?? flags.s3Endpoint;
  const given = {
    bucket: match[1]!,
    prefix: match[2] === undefined || match[2] === "" ? PREFIX_DEFAULT : match[2],
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(flags.s3Region === undefined ? {} : { region: flags.s3Region }),
  };
  const settings = readS3Settings(env, given, defaults);
  const role = flags.authRole ?? variable(env, "MIC_AUTH_ROLE") ?? "auto";
  if (!(ROLES as readonly string[]).includes(role)) {
    throw usage(`--auth-role ${JSON.stringify(role)} is no role`, "--auth-role auto, primary or follower");
  }
  const advertiseUrl = flags.advertiseUrl ?? variable(env, "MIC_ADVERTISE_URL");
  return {
    settings,
    role: role as AuthRole,
    advertiseUrl: advertiseUrl === undefined ? undefined : checkUrl(advertiseUrl),
  };
}

/** An origin: a path in front is a proxy's business. */
function checkUrl(text: string): string {
  const url = /^https?:\/\/[^/\\\s]/i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (
    url === undefined ||
    url.username !== "" ||
    url.password !== "" ||
    url.pathname !== "/" ||
    url.search !== ""
  ) {
    throw usage(
      `--advertise-url ${JSON.stringify(text)} is not http(s)://host[:port]`,
      "--advertise-url https://mic-1.example.org",
    );
  }
  return url.origin;
}

function variable(env: Environment, name: string): string | undefined {
  const value = env[name];
  return value === undefined || value === "" ? undefined : value;
}

function usage(message: string, hint: string): MicError {
  return new MicError("usage", message, { hint });
}
