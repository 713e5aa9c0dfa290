/** What Litestream is told: a configuration without secrets, and an environment with no more than it needs. */
import { REGION_DEFAULT } from "../../../core/store/s3/connect.ts";
import type { Environment, S3Settings } from "../../../core/store/s3/environment.ts";

export interface LitestreamDatabase {
  /** Of the database. */
  readonly file: string;
  /** Where Litestream keeps its own files about it. */
  readonly metaDirectory: string;
  readonly settings: S3Settings;
  readonly generation: number;
}

/** What was written and not waited for is in the bucket after about this long. */
const SYNC_INTERVAL = "1s";

/** Below the prefix of the replica. */
export function generationPrefix(generation: number): string {
  return `generations/${String(generation).padStart(8, "0")}/`;
}

export function parseGeneration(key: string): number | undefined {
  const match = /^generations\/(\d{8,15})\//.exec(key);
  return match === null ? undefined : Number(match[1]);
}

/** YAML; every text is quoted as JSON, which YAML reads the same. `socket`: none for a restore. */
export function litestreamConfig(database: LitestreamDatabase, socket?: string): string {
  const { file, metaDirectory, settings, generation } = database;
  const { bucket, prefix, endpoint, region, addressing, encryption } = settings;
  const replica: Record<string, unknown> = {
    type: "s3",
    bucket,
    path: `${prefix}${generationPrefix(generation)}`.replace(/\/$/, ""),
    region: region ?? REGION_DEFAULT,
    "sync-interval": SYNC_INTERVAL,
  };
  if (endpoint !== undefined) {
    replica["endpoint"] = endpoint;
    replica["force-path-style"] = addressing !== "virtual";
  }
  if (encryption?.kind === "aws:kms" && encryption.keyId !== undefined) {
    replica["sse-kms-key-id"] = encryption.keyId;
  }
  const config: Record<string, unknown> = {
    logging: { level: "info", type: "json", stderr: true },
    "shutdown-sync-timeout": "10s",
    dbs: [{ path: file, "meta-path": metaDirectory, replica }],
  };
  if (socket !== undefined) config["socket"] = { enabled: true, path: socket, permissions: 0o600 };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}

/** Of the server's environment: what finds programs, certificates and credentials. */
const INHERITED =
  /^(?:AWS_.*|PATH|HOME|USER|TMPDIR|TEMP|TMP|TZ|SSL_CERT_FILE|SSL_CERT_DIR|HTTPS?_PROXY|NO_PROXY|https?_proxy|no_proxy|SYSTEMROOT|USERPROFILE|LOCALAPPDATA|APPDATA)$/;

/** Credentials given for mic alone come before those of AWS's own tools. */
export function litestreamEnvironment(env: Environment, { explicit }: S3Settings): Record<string, string> {
  const inherited: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && INHERITED.test(name)) inherited[name] = value;
  }
  // Litestream cannot start with this one; Go's own does the same.
  const bundle = inherited["AWS_CA_BUNDLE"];
  if (bundle !== undefined) {
    delete inherited["AWS_CA_BUNDLE"];
    inherited["SSL_CERT_FILE"] ??= bundle;
  }
  if (explicit !== undefined) {
    inherited["AWS_ACCESS_KEY_ID"] = explicit.accessKeyId;
    inherited["AWS_SECRET_ACCESS_KEY"] = explicit.secretAccessKey;
    delete inherited["AWS_SESSION_TOKEN"];
    if (explicit.sessionToken !== undefined) inherited["AWS_SESSION_TOKEN"] = explicit.sessionToken;
  }
  return inherited;
}
