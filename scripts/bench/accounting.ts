/** Where the time of a step went: processor time of everybody who took part, and what the machine had to spare. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Measured } from "./harness.ts";
import { cpuMsOf } from "./server.ts";

export interface Account {
  /** Processor time by process, in milliseconds. */
  readonly parts: ReadonlyMap<string, number>;
  /** Of all cores together. */
  readonly idleMs: number;
  /** Used by whoever is none of the parts: other work on this machine. */
  readonly othersMs: number;
  readonly wallMs: number;
}

const CLOCK_TICKS_PER_SECOND = 100;

/** `peers`: processes that run on, by name. The command itself is counted as `client`. */
export function accounted(
  peers: Readonly<Record<string, number>>,
  work: () => Measured,
): { readonly measured: Measured; readonly account: Account } {
  const before = Object.entries(peers).map(([name, pid]) => ({ name, pid, cpuMs: cpuMsOf(pid) }));
  const start = machineTimes();
  const measured = work();
  const end = machineTimes();
  const parts = new Map([["client", measured.cpuMs]]);
  for (const { name, pid, cpuMs } of before) parts.set(name, cpuMsOf(pid) - cpuMs);
  const ours = [...parts.values()].reduce((sum, ms) => sum + ms, 0);
  const idleMs = end.idleMs - start.idleMs;
  const busyMs = end.totalMs - start.totalMs - idleMs;
  return {
    measured,
    account: { parts, idleMs, othersMs: Math.max(0, busyMs - ours), wallMs: measured.wallMs },
  };
}

/** One line: `3.9 s of processor time (client 3.4, server 0.9), idle 0.3 s of 2 cores; others 0.1 s`. */
export function describeAccount({ parts, idleMs, othersMs }: Account): string {
  const seconds = (ms: number): string => (ms / 1000).toFixed(1);
  const total = [...parts.values()].reduce((sum, ms) => sum + ms, 0);
  const list = [...parts].map(([name, ms]) => `${name} ${seconds(ms)}`).join(", ");
  const rest = `idle ${seconds(idleMs)} s of ${availableParallelism()} cores; others ${seconds(othersMs)} s`;
  return `${seconds(total)} s of processor time (${list}), ${rest}`;
}

function machineTimes(): { readonly idleMs: number; readonly totalMs: number } {
  const line = readFileSync("/proc/stat", "utf8").split("\n", 1)[0]!;
  // user nice system idle iowait irq softirq steal; guests are in user already.
  const ticks = line.split(/\s+/).slice(1, 9).map(Number);
  const toMs = 1000 / CLOCK_TICKS_PER_SECOND;
  return {
    idleMs: (ticks[3]! + ticks[4]!) * toMs,
    totalMs: ticks.reduce((sum, each) => sum + each, 0) * toMs,
  };
}
