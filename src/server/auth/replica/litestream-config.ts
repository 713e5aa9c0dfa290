/** What Litestream is told: a configuration without secrets, and an environment with no more than it needs. */
import path from "node:path";
import { REGION_DEFAULT } from "../../../core/store/s3/connect.ts";
import type { Environment, S3Settings } from "../../../core/store/s3/environment.ts";
import { recordsFile } from "../database/records.ts";

export interface ReplicatedDatabases {
  /** Of the accounts; their records are beside them (../database/records.ts). */
  readonly file: string;
  readonly settings: S3Settings;
  readonly generation: number;
}

/** The accounts, or their records. */
export type Part = "accounts" | "records";

/** One file, and the replica that it is restored from. */
export interface RestoredDatabase extends ReplicatedDatabases {
  readonly part: Part;
}

/** What was written and not waited for is in the bucket after about this long. */
const SYNC_INTERVAL = "1s";

/** Where Litestream keeps its own files about the accounts; `directory`: of the database. */
export function metaDirectoryOf(directory: string, generation: number): string {
  return path.join(directory, "litestream", String(generation));
}

/** Below the prefix of the replica. */
export function generationPrefix(generation: number): string {
  return `generations/${String(generation).padStart(8, "0")}/`;
}

export function parseGeneration(key: string): number | undefined {
  const match = /^generations\/(\d{8,15})\//.exec(key);
  return match === null ? undefined : Number(match[1]);
}

/** Of `litestream replicate`: both databases, and a socket. */
export function litestreamConfig(databases: ReplicatedDatabases, socket: string): string {
  const { file, generation } = databases;
  const metaDirectory = metaDirectoryOf(path.dirname(file), generation);
  return yaml({
    "shutdown-sync-timeout": "10s",
    dbs: [
      { path: file, "meta-path": metaDirectory, replica: replicaOf(databases, "accounts") },
      {
        path: recordsFile(file),
        "meta-path": `${metaDirectory}-records`,
        replica: replicaOf(databases, "records"),
      },
    ],
    socket: { enabled: true, path: socket, permissions: 0o600 },
  });
}

/** Of `litestream restore` to `database.file`. */
export function restoreConfig(database: RestoredDatabase): string {
  const { file, part } = database;
  const metaDirectory = path.join(path.dirname(file), "litestream-restore");
  return yaml({ dbs: [{ path: file, "meta-path": metaDirectory, replica: replicaOf(database, part) }] });
}

/** Every text is quoted as JSON, which YAML reads the same. */
function yaml(config: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify({ logging: { level: "info", type: "json", stderr: true }, ...config }, undefined, 2)}\n`;
}

function replicaOf({ settings, generation }: ReplicatedDatabases, part: Part): Record<string, unknown> {
  const { bucket, prefix, endpoint, region, addressing, encryption } = settings;
  const replica: Record<string, unknown> = {
    type: "s3",
    bucket,
    path: `${prefix}${generationPrefix(generation)}${part === "records" ? "records" : ""}`.replace(/\/$/, ""),
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
  return replica;
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
