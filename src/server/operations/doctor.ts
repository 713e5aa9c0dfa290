/** `mic admin doctor`: looks at everything that a server needs, changes nothing, and says what to do. */
import { X509Certificate } from "node:crypto";
import { accessSync, constants, existsSync, readFileSync, statSync } from "node:fs";
import { statfs } from "node:fs/promises";
import path from "node:path";
import type { Clock } from "../../core/base/clock.ts";
import { isMicError } from "../../core/base/errors.ts";
import type { Random } from "../../core/base/random.ts";
import { LOCAL_STORE_FILE } from "../../core/store/is-local-store.ts";
import { AuthDatabase } from "../auth/database/auth-database.ts";
import { recordsFile } from "../auth/database/records.ts";
import { accountsFile } from "../auth/owner-token.ts";
import { landingLogFile } from "../auth/sqlite-landing-log.ts";
import { readTlsFiles } from "../network/tls-files.ts";
import { readServeOptions, type ServeFlags, type ServeOptions, type ServeWorld } from "../serve-options.ts";
import { STAGING } from "./backup.ts";
import { checkIntegrity } from "./check-data.ts";
import { checkBucket, checkReplica } from "./doctor-buckets.ts";
import { RESTORING } from "./restore.ts";
import { isAbandoned } from "./work-directory.ts";

export interface Finding {
  /** `disk`, `accounts`, …: never renamed. */
  readonly name: string;
  readonly state: "ok" | "warn" | "fail";
  readonly detail: string;
  /** What to do about it. */
  readonly hint?: string;
}

export interface Diagnose {
  /** Those of `mic serve`. */
  readonly flags: ServeFlags;
  readonly world: ServeWorld;
  readonly clock: Clock;
  readonly random: Random;
  readonly version: string;
}

/** A check, with everything it may ask about. */
export type DoctorCheck = (asked: Asked) => Promise<readonly Finding[]> | readonly Finding[];

export interface Asked extends Diagnose {
  readonly options: ServeOptions;
}

const DAY_MS = 86_400_000;
const DISK_BYTES_WARN = 1 << 30;
const DISK_BYTES_FAIL = 64 << 20;
const DISK_SHARE_WARN = 0.05;
const CERTIFICATE_DAYS_WARN = 21;
/** A follower copies it for each change (docs/operations.md has the figures). */
const ACCOUNTS_BYTES_WARN = 40e6;
/** A connection takes one, and so does every file that is open. */
const OPEN_FILES_WARN = 8_192;

const CHECKS: Readonly<Record<string, DoctorCheck>> = {
  data: checkDataDirectory,
  disk: checkDisk,
  accounts: checkAccounts,
  store: checkStore,
  bucket: checkBucket,
  replica: checkReplica,
  tls: checkTls,
  files: checkOpenFiles,
};

/** One finding for each check at least. */
export async function diagnose(request: Diagnose): Promise<readonly Finding[]> {
  const findings: Finding[] = [
    { name: "version", state: "ok", detail: `mic ${request.version} on ${request.world.platform}` },
  ];
  let options: ServeOptions;
  try {
    options = readServeOptions(request.flags, request.world);
  } catch (error) {
    return [...findings, failed("options", error)];
  }
  for (const detail of options.warnings) findings.push({ name: "options", state: "warn", detail });
  if (options.warnings.length === 0)
    findings.push({ name: "options", state: "ok", detail: whatIsServed(options) });
  for (const [name, check] of Object.entries(CHECKS)) {
    try {
      findings.push(...(await check({ ...request, options })));
    } catch (error) {
      findings.push(failed(name, error));
    }
  }
  return findings;
}

export function failed(name: string, error: unknown): Finding {
  const detail = error instanceof Error ? error.message : String(error);
  const hint = isMicError(error) ? error.hint : undefined;
  return { name, state: "fail", detail, ...(hint === undefined ? {} : { hint }) };
}

function whatIsServed({ dataDirectory, storage, host, port, tls }: ServeOptions): string {
  const where =
    storage.origin.kind === "local" ? dataDirectory : `the bucket ${storage.origin.settings.bucket}`;
  return `${where}, at ${host}:${port}${tls === undefined ? "" : " with TLS"}`;
}

function checkDataDirectory({ options, world }: Asked): Finding[] {
  const { dataDirectory } = options;
  const name = "data";
  if (!existsSync(dataDirectory)) {
    return [
      {
        name,
        state: "warn",
        detail: `${dataDirectory} is not there`,
        hint: "the first start makes it; if there was one, is this the right user and the right --data?",
      },
    ];
  }
  accessSync(dataDirectory, constants.R_OK | constants.W_OK | constants.X_OK);
  return [whoCanRead(dataDirectory, world), ...leftovers(dataDirectory)];
}

function whoCanRead(dataDirectory: string, world: ServeWorld): Finding {
  const name = "data";
  const open: string[] = [];
  const ours = [dataDirectory, path.dirname(accountsFile(dataDirectory)), accountsFile(dataDirectory)];
  for (const file of world.platform === "win32" ? [] : ours) {
    if (existsSync(file) && (statSync(file).mode & 0o077) !== 0) open.push(file);
  }
  // What is below a directory that is closed to others is closed to them.
  const isReadable = open.includes(dataDirectory) && (open.includes(ours[1]!) || !existsSync(ours[1]!));
  if (!isReadable) return { name, state: "ok", detail: `${dataDirectory} is private to its user` };
  return {
    name,
    state: "warn",
    detail: `other users of this machine can read ${open.join(", ")}`,
    hint: `chmod -R go= ${dataDirectory}`,
  };
}

/** Copies of the accounts, with the hashes of passwords and tokens, that nobody is at work on any more. */
function leftovers(dataDirectory: string): Finding[] {
  const directories = [path.join(dataDirectory, STAGING), `${dataDirectory}${RESTORING}`];
  return directories.filter(isAbandoned).map((directory) => ({
    name: "leftover",
    state: "warn",
    detail: `${directory} is what a backup or a restore that was killed left, with a copy of the accounts`,
    hint: `rm -r ${directory}; the next one does it, too`,
  }));
}

async function checkDisk({ options }: Asked): Promise<Finding[]> {
  const directories = [options.dataDirectory, options.storage.tiers.cachePath].filter(
    (directory): directory is string => directory !== undefined,
  );
  const findings: Finding[] = [];
  for (const directory of directories) {
    const existing = firstExisting(directory);
    const { bavail, blocks, bsize } = await statfs(existing);
    const free = bavail * bsize;
    const isLow = free < DISK_BYTES_WARN || bavail < blocks * DISK_SHARE_WARN;
    const state = free < DISK_BYTES_FAIL ? "fail" : isLow ? "warn" : "ok";
    findings.push({
      name: "disk",
      state,
      detail: `${(free / 2 ** 30).toFixed(1)} GiB free for ${directory}`,
      ...(state === "ok" ? {} : { hint: "make room, or give the server another disk" }),
    });
  }
  return findings;
}

function firstExisting(directory: string): string {
  return existsSync(directory) ? directory : firstExisting(path.dirname(directory));
}

function checkAccounts({ options }: Asked): Finding[] {
  const name = "accounts";
  const file = accountsFile(options.dataDirectory);
  if (!existsSync(file)) {
    return [{ name, state: "warn", detail: "there are none yet", hint: "the first start makes an owner" }];
  }
  for (const each of [file, recordsFile(file), landingLogFile(file)]) {
    if (existsSync(each)) checkIntegrity(each);
  }
  using database = new AuthDatabase({ file, readOnly: true });
  const count = (condition: string): number =>
    database.sql
      .prepare(`SELECT count(*) FROM users WHERE disabled_at IS NULL ${condition}`)
      .pluck()
      .get() as number;
  const [users, administrators] = [count(""), count("AND is_site_admin = 1")];
  const bytes = statSync(file).size;
  const size: Finding[] =
    options.replica === undefined || bytes <= ACCOUNTS_BYTES_WARN
      ? []
      : [
          {
            name,
            state: "warn",
            detail: `${Math.round(bytes / 1e6)} MB: followers need more than 2 s for a change`,
            hint: "revoke tokens that nobody uses: mic admin token list --user U; see docs/operations.md",
          },
        ];
  if (administrators > 0) {
    const detail = `whole; ${users} users, ${administrators} of them administrators`;
    return [{ name, state: "ok", detail }, ...size];
  }
  return [
    ...size,
    {
      name,
      state: "warn",
      detail: `whole; ${users} users, and nobody administers the site`,
      hint: `mic admin user promote NAME --data ${options.dataDirectory}`,
    },
  ];
}

function checkStore({ options }: Asked): Finding[] {
  if (options.storage.origin.kind !== "local") return [];
  const file = path.join(options.dataDirectory, LOCAL_STORE_FILE);
  if (!existsSync(file)) return [{ name: "store", state: "ok", detail: "nothing is stored yet" }];
  checkIntegrity(file);
  return [{ name: "store", state: "ok", detail: `${file} is whole; mic fsck checks what it holds` }];
}

function checkTls({ options, clock }: Asked): Finding[] {
  const name = "tls";
  if (options.tls === undefined) {
    return [{ name, state: "ok", detail: "none: callers come from this machine, or through a proxy" }];
  }
  const { cert } = readTlsFiles(options.tls);
  const certificate = new X509Certificate(cert);
  const days = Math.floor((Date.parse(certificate.validTo) - clock.nowMs()) / DAY_MS);
  const who = certificate.subjectAltName ?? certificate.subject;
  if (Date.parse(certificate.validFrom) > clock.nowMs()) {
    return [{ name, state: "fail", detail: `the certificate is not valid before ${certificate.validFrom}` }];
  }
  if (days < 0) {
    return [
      {
        name,
        state: "fail",
        detail: `the certificate expired ${-days} days ago`,
        hint: "renew it: it is read again",
      },
    ];
  }
  const isSoon = days < CERTIFICATE_DAYS_WARN;
  return [
    {
      name,
      state: isSoon ? "warn" : "ok",
      detail: `valid for ${days} days (${who})`,
      ...(isSoon ? { hint: "renew it: a changed file is read again within seconds" } : {}),
    },
  ];
}

function checkOpenFiles(): Finding[] {
  const limits = "/proc/self/limits";
  if (!existsSync(limits)) return [];
  const match = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync(limits, "latin1"));
  const count = match?.[1] === "unlimited" ? Number.POSITIVE_INFINITY : Number(match?.[1]);
  const isLow = count < OPEN_FILES_WARN;
  return [
    {
      name: "files",
      state: isLow ? "warn" : "ok",
      detail: `${count} files may be open`,
      ...(isLow ? { hint: "LimitNOFILE=65536 in the unit, or ulimit -n 65536" } : {}),
    },
  ];
}
