/**
 * Which bucket, where, and how: from flags, the environment and the configuration, checked before anything is sent.
 *
 * | setting | flag or address | environment, first that is set | configuration |
 * | --- | --- | --- | --- |
 * | bucket | `--s3-bucket`, `s3://bucket` | S3_BUCKET | |
 * | prefix | `--s3-prefix`, `s3://bucket/prefix` | S3_PREFIX | |
 * | endpoint | `--s3-endpoint` | S3_ENDPOINT, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL | s3.endpoint, else `endpoint_url` of the profile |
 * | region | `--s3-region` | S3_REGION, AWS_REGION, AWS_DEFAULT_REGION | s3.region |
 * | path style | | S3_FORCE_PATH_STYLE | s3.force-path-style |
 * | encryption | | S3_SERVER_SIDE_ENCRYPTION, S3_KMS_KEY_ID | |
 * | credentials | | S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, else credentials/chain.ts | |
 */
import { MicError } from "../../base/errors.ts";
import { profileEndpoint } from "./credentials/profile-settings.ts";
import type { Credentials } from "./credentials-types.ts";
import type { S3Addressing, S3Encryption } from "./options.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** What comes before the environment. */
export interface S3Flags {
  readonly bucket?: string;
  readonly prefix?: string;
  readonly endpoint?: string;
  readonly region?: string;
}

/** What comes after it. */
export interface S3Defaults {
  readonly endpoint?: string;
  readonly region?: string;
  readonly forcePathStyle?: string;
}

export interface S3Settings {
  readonly bucket: string;
  /** Empty, or components with a `/` at the end. */
  readonly prefix: string;
  /** `http(s)://host[:port]`; undefined: AWS. */
  readonly endpoint: string | undefined;
  /** Undefined: the profile's, else `us-east-1`. */
  readonly region: string | undefined;
  /** Undefined: as the endpoint needs it. */
  readonly addressing: S3Addressing | undefined;
  readonly encryption: S3Encryption | undefined;
  /** Given for this program alone: they come before every other source of credentials. */
  readonly explicit: Credentials | undefined;
}

const BUCKET = /^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/;
const PREFIX = /^[\x21-\x2e\x30-\x7e]+(?:\/[\x21-\x2e\x30-\x7e]+)*$/;
/** A key is at most 1,024 bytes, and the forge's own part is below half of that. */
const PREFIX_BYTES_MAX = 512;
const REGION = /^[a-z0-9][a-z0-9-]{0,62}$/i;

const OWN_ENDPOINT_VARIABLES = ["S3_ENDPOINT"];
const ENDPOINT_VARIABLES = [...OWN_ENDPOINT_VARIABLES, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
const REGION_VARIABLES = ["S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"];

/** Regions that an endpoint's name says. */
const REGION_OF_HOST: readonly (readonly [RegExp, (match: RegExpExecArray) => string])[] = [
  [/^s3[.-](?:dualstack\.)?([a-z]{2}(?:-[a-z]+)+-\d+)\.amazonaws\.com(?:\.cn)?$/, (match) => match[1]!],
  [/^([a-z0-9]+)\.digitaloceanspaces\.com$/, (match) => match[1]!],
  [/\.r2\.cloudflarestorage\.com$/, () => "auto"],
  [/(?:^|\.)(?:tigris\.dev|t3\.storage\.dev)$|^storage\.googleapis\.com$/, () => "auto"],
  [/^s3\.([a-z0-9-]+)\.(?:wasabisys\.com|scw\.cloud|io\.cloud\.ovh\.net)$/, (match) => match[1]!],
];

/**
 * Errors: `usage` names what is wrong or missing, and the line that mends it; `unsupported` for Backblaze B2;
 * `unauthenticated` for files of profiles that cannot be read.
 */
export function readS3Settings(env: Environment, flags: S3Flags = {}, defaults: S3Defaults = {}): S3Settings {
  const bucket = choose(flags.bucket, "--s3-bucket", env, ["S3_BUCKET"]);
  if (bucket === undefined)
    throw usage("Missing S3 bucket: no name is given", "export S3_BUCKET=your-bucket-name");
  const prefix = choose(flags.prefix, "--s3-prefix", env, ["S3_PREFIX"]);
  // As for AWS's own tools, where endpoints are set for several programs and this one is to go to AWS.
  const ignores = /^true$/i.test(variable(env, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") ?? "");
  const variables = ignores ? OWN_ENDPOINT_VARIABLES : ENDPOINT_VARIABLES;
  const fallback = { key: "s3.endpoint", value: defaults.endpoint };
  const endpoint =
    choose(flags.endpoint, "--s3-endpoint", env, variables, fallback) ??
    (ignores ? undefined : endpointOfProfile(env));
  const region = choose(flags.region, "--s3-region", env, REGION_VARIABLES, {
    key: "s3.region",
    value: defaults.region,
  });
  const checkedBucket = checkBucket(bucket);
  const checkedEndpoint = endpoint === undefined ? undefined : checkEndpoint(endpoint, checkedBucket);
  return {
    bucket: checkedBucket,
    prefix: prefix === undefined ? "" : checkPrefix(prefix),
    endpoint: checkedEndpoint,
    region: region === undefined ? regionOf(checkedEndpoint) : checkRegion(region),
    addressing: readAddressing(env, defaults),
    encryption: readEncryption(env),
    explicit: readExplicit(env),
  };
}

interface Setting {
  readonly text: string;
  /** As the user wrote it: a flag, a variable or a key of the configuration. */
  readonly source: string;
  /** The line that sets it to `value`. */
  readonly line: (value: string) => string;
}

function choose(
  flag: string | undefined,
  flagName: string,
  env: Environment,
  variables: readonly string[],
  fallback?: { readonly key: string; readonly value: string | undefined },
): Setting | undefined {
  if (flag !== undefined) {
    return {
      text: flag,
      source: `${flagName} ${JSON.stringify(flag)}`,
      line: (value) => `${flagName} ${value}`,
    };
  }
  for (const name of variables) {
    const text = variable(env, name);
    if (text !== undefined) {
      return { text, source: `${name}=${text}`, line: (value) => `export ${name}=${value}` };
    }
  }
  if (fallback?.value === undefined || fallback.value === "") return undefined;
  const { key, value } = fallback;
  return { text: value, source: `${key} = ${value}`, line: (mended) => `mic config set ${key} ${mended}` };
}

function endpointOfProfile(env: Environment): Setting | undefined {
  const text = profileEndpoint(env);
  if (text === undefined) return undefined;
  const source = `endpoint_url = ${text} of the AWS profile`;
  return { text, source, line: (value) => `endpoint_url = ${value}` };
}

function checkBucket({ text, source, line }: Setting): string {
  if (text === "") throw usage("Missing S3 bucket: its name is empty", line("your-bucket-name"));
  if (BUCKET.test(text) && !text.includes("..")) return text;
  throw usage(
    `${source} is not the name of a bucket: 3 to 63 lowercase letters, digits, dots and hyphens`,
    line("your-bucket-name"),
  );
}

/** Without slashes at its ends. */
function checkPrefix({ text, source, line }: Setting): string {
  const trimmed = text.replace(/^\/+|\/+$/g, "");
  if (trimmed === "") return "";
  const isSafe = PREFIX.test(trimmed) && !/(?:^|\/)\.\.?(?:\/|$)/.test(trimmed);
  if (isSafe && trimmed.length <= PREFIX_BYTES_MAX) return `${trimmed}/`;
  throw usage(
    `${source} cannot be a prefix: printable ASCII without spaces, parts between single slashes`,
    line("team/forge"),
  );
}

function checkEndpoint({ text, source, line }: Setting, bucket: string): string {
  const example = line("https://s3.example.org");
  // URL() drops line breaks and tabs, and takes a backslash for a slash.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\u0000-\u0020\u007f\\]/.test(text))
    throw usage(`${source} has spaces or control characters`, example);
  if (!/^https?:\/\/[^/]/i.test(text)) {
    const guess = /^[A-Za-z0-9.-]+(?::\d+)?$/.test(text) ? line(`https://${text}`) : example;
    throw usage(`${source} is not an http(s):// address`, guess);
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new MicError("usage", `${source} is not a valid address`, { hint: example, cause });
  }
  if (url.username !== "" || url.password !== "") {
    throw usage(
      "the S3 endpoint has a user in it",
      "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… instead",
    );
  }
  if (url.pathname !== "/" || text.includes("?") || text.includes("#")) {
    throw usage(`${source} has a path: the bucket and the prefix are given by themselves`, line(url.origin));
  }
  if (url.hostname.startsWith(`${bucket}.`)) {
    throw usage(`${source} names the bucket as well`, line(url.origin.replace(`${bucket}.`, "")));
  }
  if (/(?:^|\.)backblazeb2\.com$/.test(url.hostname)) throw backblaze();
  return url.origin;
}

function backblaze(): MicError {
  return new MicError(
    "unsupported",
    "Backblaze B2 cannot hold a forge: it answers 501 to conditional writes, so two landings could overwrite each other",
    { hint: "use a store with conditional writes, such as AWS S3, Cloudflare R2, GCS, Tigris or MinIO" },
  );
}

function checkRegion({ text, source, line }: Setting): string {
  if (REGION.test(text)) return text;
  throw usage(`${source} is not the name of a region`, line("us-east-1"));
}

function regionOf(endpoint: string | undefined): string | undefined {
  if (endpoint === undefined) return undefined;
  const { hostname } = new URL(endpoint);
  for (const [pattern, region] of REGION_OF_HOST) {
    const match = pattern.exec(hostname);
    if (match !== null) return region(match);
  }
  return undefined;
}

function readAddressing(env: Environment, defaults: S3Defaults): S3Addressing | undefined {
  const fromEnv = variable(env, "S3_FORCE_PATH_STYLE");
  const text = fromEnv ?? (defaults.forcePathStyle === "" ? undefined : defaults.forcePathStyle);
  if (text === undefined) return undefined;
  if (/^(?:1|true|yes|on)$/i.test(text)) return "path";
  if (/^(?:0|false|no|off)$/i.test(text)) return "virtual";
  throw usage(
    `${fromEnv === undefined ? "s3.force-path-style" : "S3_FORCE_PATH_STYLE"}=${text} is neither true nor false`,
    fromEnv === undefined ? "mic config set s3.force-path-style true" : "export S3_FORCE_PATH_STYLE=true",
  );
}

function readEncryption(env: Environment): S3Encryption | undefined {
  const kind = variable(env, "S3_SERVER_SIDE_ENCRYPTION");
  const keyId = variable(env, "S3_KMS_KEY_ID");
  if (kind === undefined && keyId === undefined) return undefined;
  if (kind === "aws:kms" || kind === undefined) {
    if (keyId !== undefined && /[^\x21-\x7e]/.test(keyId)) {
      throw usage("S3_KMS_KEY_ID is not the id of a key", "export S3_KMS_KEY_ID=arn:aws:kms:…");
    }
    return keyId === undefined ? { kind: "aws:kms" } : { kind: "aws:kms", keyId };
  }
  if (kind !== "AES256") {
    throw usage(
      `S3_SERVER_SIDE_ENCRYPTION=${kind} is unknown`,
      "export S3_SERVER_SIDE_ENCRYPTION=AES256, or aws:kms",
    );
  }
  if (keyId !== undefined) {
    throw usage(
      "S3_KMS_KEY_ID needs aws:kms",
      "export S3_SERVER_SIDE_ENCRYPTION=aws:kms, or unset S3_KMS_KEY_ID",
    );
  }
  return { kind };
}

function readExplicit(env: Environment): Credentials | undefined {
  const accessKeyId = variable(env, "S3_ACCESS_KEY_ID");
  const secretAccessKey = variable(env, "S3_SECRET_ACCESS_KEY");
  const sessionToken = variable(env, "S3_SESSION_TOKEN");
  if (accessKeyId === undefined && secretAccessKey === undefined) return undefined;
  if (accessKeyId === undefined) {
    throw usage("S3_SECRET_ACCESS_KEY is set without its key id", "export S3_ACCESS_KEY_ID=your-access-key");
  }
  if (secretAccessKey === undefined) {
    throw usage("S3_ACCESS_KEY_ID is set without its secret", "export S3_SECRET_ACCESS_KEY=your-secret-key");
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

/** An empty variable is one that is not set. */
function variable(env: Environment, name: string): string | undefined {
  const value = env[name];
  return value === undefined || value === "" ? undefined : value;
}

function usage(message: string, hint: string): MicError {
  return new MicError("usage", message, { hint });
}

/** `s3://bucket/prefix`: how a forge in a bucket is written, without a slash at the end. */
export function formatBucketAddress({ bucket, prefix }: Pick<S3Settings, "bucket" | "prefix">): string {
  return `s3://${bucket}${prefix === "" ? "" : `/${prefix.slice(0, -1)}`}`;
}
