/**
 * Whether calls can be served, found out by trying: each check does what calls do. Anybody may ask, so an answer
 * stands for a second, and says which check failed and nothing more; why is in the log.
 */
import { statfs } from "node:fs/promises";
import type { Clock } from "../../core/base/clock.ts";
import { MicError } from "../../core/base/errors.ts";
import type { Forge } from "../../core/forge/forge.ts";
import type { AuthDatabase } from "../auth/database/auth-database.ts";
import type { AccountsReplica } from "../auth/replica/accounts-replica.ts";
import type { ServerLog } from "../context.ts";

export interface Check {
  readonly name: string;
  /** What is said of it to anybody where it fails. */
  readonly problem: string;
  /** Fails where calls would. Its message is for the log. What it gives is shown with `?verbose`. */
  run(signal: AbortSignal): CheckDetail | Promise<CheckDetail>;
}

// biome-ignore lint/suspicious/noConfusingVoidType: most checks have nothing to show
export type CheckDetail = Readonly<Record<string, string | number>> | void;

export interface CheckResult {
  readonly name: string;
  readonly ok: boolean;
  /** Milliseconds. */
  readonly ms: number;
  readonly detail?: CheckDetail;
}

export interface Readiness {
  /** Undefined: calls can be served. */
  readonly problem: string | undefined;
  readonly checks: readonly CheckResult[];
}

/** How long an answer stands. */
const STANDS_MS = 1_000;
/** A check that takes longer has failed. */
export const CHECK_MS_MAX = 5_000;
const LATE = Symbol("late");
/** Between two lines in the log about the same check. */
const QUIET_MS = 60_000;

export interface ReadinessOptions {
  readonly checks: readonly Check[];
  readonly draining: AbortSignal;
  readonly clock: Clock;
  /** Monotonic, in milliseconds. */
  readonly elapsedMs: () => number;
  readonly log: ServerLog;
}

export class ReadinessChecks {
  readonly #options: ReadinessOptions;
  readonly #toldAt = new Map<string, number>();
  #last: { readonly at: number; readonly result: Promise<Readiness> } | undefined;

  constructor(options: ReadinessOptions) {
    this.#options = options;
  }

  async ask(): Promise<Readiness> {
    const { draining, elapsedMs } = this.#options;
    if (draining.aborted) {
      return { problem: "shutting down", checks: [{ name: "draining", ok: false, ms: 0 }] };
    }
    const now = elapsedMs();
    if (this.#last === undefined || now - this.#last.at > STANDS_MS) {
      this.#last = { at: now, result: this.#check() };
    }
    return await this.#last.result;
  }

  async #check(): Promise<Readiness> {
    const { checks } = this.#options;
    const results = await Promise.all(checks.map((check) => this.#try(check)));
    const failed = results.findIndex(({ ok }) => !ok);
    return { problem: checks[failed]?.problem, checks: results };
  }

  async #try({ name, run }: Check): Promise<CheckResult> {
    const { clock, elapsedMs } = this.#options;
    const startedAt = elapsedMs();
    const over = new AbortController();
    const late = clock.sleep(CHECK_MS_MAX, over.signal).then(
      () => LATE,
      () => LATE,
    );
    try {
      const detail = await Promise.race([run(over.signal), late]);
      if (typeof detail === "symbol")
        throw new MicError("unreachable", `no answer within ${CHECK_MS_MAX} ms`);
      const ms = Math.round(elapsedMs() - startedAt);
      return detail === undefined ? { name, ok: true, ms } : { name, ok: true, ms, detail };
    } catch (error) {
      this.#report(name, error, startedAt);
      return { name, ok: false, ms: Math.round(elapsedMs() - startedAt) };
    } finally {
      over.abort();
    }
  }

  #report(name: string, error: unknown, now: number): void {
    if (now - (this.#toldAt.get(name) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return;
    this.#toldAt.set(name, now);
    this.#options.log.error("not-ready", { check: name, error });
  }
}

/** Reads what a call would read first. */
export function storeCheck({ listProjects }: Pick<Forge, "listProjects">): Check {
  return {
    name: "store",
    problem: "the store does not answer",
    run: async (signal) => void (await listProjects({ limit: 1 }, { signal })),
  };
}

/** Errors: `too-large` below so many free bytes. */
export function diskCheck(directory: string, bytesLeast: number): Check {
  return {
    name: "disk",
    problem: "the disk is nearly full",
    async run() {
      const { bavail, bsize } = await statfs(directory);
      const free = bavail * bsize;
      if (free >= bytesLeast) return { freeMiB: Math.floor(free / 2 ** 20) };
      throw new MicError("too-large", `${directory} has ${free} free bytes left, and needs ${bytesLeast}`);
    },
  };
}

/** Reads what every call with a token reads. */
export function accountsCheck(database: Pick<AuthDatabase, "prepare">): Check {
  return {
    name: "accounts",
    problem: "the accounts do not answer",
    run: () => void database.prepare("SELECT count(*) FROM settings").get(),
  };
}

/** How long a follower may have seen nothing of the primary: revoked tokens still work here meanwhile. */
const LAG_MS_MAX = 60_000;

/** A primary that cannot replicate serves calls all the same: it is shown, and for an alert to tell. */
export function replicaCheck(replica: Pick<AccountsReplica, "status">): Check {
  return {
    name: "replica",
    problem: "the accounts are behind those of the primary",
    run: () => {
      const { role, lagMs, problem } = replica.status();
      if (role === "follower" && lagMs > LAG_MS_MAX) {
        throw new MicError("unreachable", problem ?? `${lagMs} ms behind the primary`);
      }
      return { role, lagMs: Math.round(lagMs), ...(problem === undefined ? {} : { problem }) };
    },
  };
}
