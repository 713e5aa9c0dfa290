/**
 * What this data directory knows of the replica, in `auth/replica.json`: who it is, and where its database comes
 * from. And the lock that keeps a second server off it.
 */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { bytesToHex } from "../../../core/base/bytes.ts";
import { MicError } from "../../../core/base/errors.ts";
import type { Random } from "../../../core/base/random.ts";
import { tryLock } from "../../file-lock.ts";
import { moveDatabase, recordsFile } from "../database/records.ts";

export interface ReplicaState {
  /** 32 hex digits: of this data directory. */
  readonly holder: string;
  /** The last one that this directory's database was the origin of; 0: none. */
  readonly generation: number;
  /** `copy`: of another server's. `hand`: restored by an operator, it takes the place of what is in the replica. */
  readonly origin: "own" | "copy" | "hand";
}

const FILE = "replica.json";
const ASIDE = ".before-generation-";
const ASIDE_MAX = 3;
const schema = z.object({
  holder: z.string().regex(/^[0-9a-f]{32}$/),
  generation: z.int().min(0),
  origin: z.enum(["own", "copy", "hand"]),
});

/** A new one where there is none. Errors: `corrupt`. */
export function readReplicaState(directory: string, random: Random): ReplicaState {
  const file = path.join(directory, FILE);
  if (!existsSync(file)) return { holder: bytesToHex(random.bytes(16)), generation: 0, origin: "own" };
  const parsed = schema.safeParse(parse(readFileSync(file, "utf8")));
  if (parsed.success) return parsed.data;
  throw new MicError("corrupt", `${file} cannot be read`, {
    hint: "remove it: the accounts are then taken from the replica",
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** A crash leaves the old one or the new one. */
export function writeReplicaState(directory: string, state: ReplicaState): void {
  const file = path.join(directory, FILE);
  writeFileSync(`${file}.tmp`, `${JSON.stringify(state)}\n`, { mode: 0o600, flush: true });
  renameSync(`${file}.tmp`, file);
}

/** The state, in memory and in its file. */
export class ReplicaStateFile implements ReplicaState {
  readonly #directory: string;
  #state: ReplicaState;

  /** Errors: `corrupt`. */
  constructor(directory: string, random: Random) {
    this.#directory = directory;
    this.#state = readReplicaState(directory, random);
    writeReplicaState(directory, this.#state);
  }

  get holder(): string {
    return this.#state.holder;
  }

  get generation(): number {
    return this.#state.generation;
  }

  get origin(): ReplicaState["origin"] {
    return this.#state.origin;
  }

  remember(change: Omit<ReplicaState, "holder">): void {
    if (this.generation === change.generation && this.origin === change.origin) return;
    this.#state = { holder: this.holder, ...change };
    writeReplicaState(this.#directory, this.#state);
  }
}

/**
 * For whoever writes to a database that no server has open. Errors: `forbidden` for a follower's: the primary's would
 * take its place.
 */
export function refuseCopy(directory: string): void {
  const file = path.join(directory, FILE);
  if (!existsSync(file)) return;
  const parsed = schema.safeParse(parse(readFileSync(file, "utf8")));
  if (parsed.success && parsed.data.origin === "copy") {
    throw new MicError("forbidden", `the accounts in ${directory} are a copy of another server's`, {
      hint: "do it on the primary, or over the network: mic --server URL admin …",
    });
  }
}

/** The last transaction that Litestream took from the database of `metaDirectory`; 0 where it took none. */
export function lastLocalPosition(metaDirectory: string): number {
  const directory = path.join(metaDirectory, "ltx", "0");
  if (!existsSync(directory)) return 0;
  let last = 0;
  for (const name of readdirSync(directory)) {
    const match = /^[0-9a-f]{16}-([0-9a-f]{16})\.ltx$/.exec(name);
    if (match !== null) last = Math.max(last, Number.parseInt(match[1]!, 16));
  }
  return last;
}

export function asideFile(file: string, generation: number): string {
  return `${file}${ASIDE}${generation}`;
}

/** Moves accounts and their records out of the way; the last few that were stay, in case somebody misses one. */
export function setAside(file: string, generation: number): string {
  for (const each of [recordsFile(file), file]) moveDatabase(each, asideFile(each, generation));
  removeOldAsides(file);
  return asideFile(file, generation);
}

/** Those of accounts, and those of their records. */
export function removeOldAsides(file: string): void {
  for (const each of [file, recordsFile(file)]) removeOldAsidesOf(each);
}

function removeOldAsidesOf(file: string): void {
  const directory = path.dirname(file);
  const prefix = path.basename(file) + ASIDE;
  const generations = readdirSync(directory)
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => b - a);
  for (const generation of generations.slice(ASIDE_MAX)) removeFile(asideFile(file, generation));
}

/** Accounts and their records. */
export function removeDatabase(file: string): void {
  for (const each of [file, recordsFile(file)]) removeFile(each);
}

function removeFile(file: string): void {
  for (const end of ["", "-wal", "-shm", ".tmp", "-txid"]) rmSync(file + end, { force: true });
}

/** Held until it is closed or the process dies. Errors: `unreachable` when another server has it. */
export function lockDirectory(directory: string): Disposable {
  const lock = tryLock(path.join(directory, "server.lock"));
  if (lock !== undefined) return lock;
  throw new MicError("unreachable", `another server keeps its accounts in ${directory}`, {
    hint: "each server has a data directory of its own: --data DIR",
  });
}
