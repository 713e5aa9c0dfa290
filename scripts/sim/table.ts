/**
 * Prints a table of faults: what was done against what went wrong, in which ways that is too little, and why what is
 * not in it cannot be.
 */
import type { FaultTable } from "../../src/core/store/fault-table.ts";
import {
  ACTOR_FAULT_KINDS,
  type FaultKind,
  type FaultOperation,
  faultsOf,
} from "../../src/core/store/faults.ts";

/** Whatever the simulated code does to the store at all: a run without one of these tests less than it says. */
export const OPERATIONS: readonly string[] = [
  ...["blob", "gc", "head", "meta", "pack", "page", "rollup", "session"].map((what) => `read ${what}`),
  ...["blob", "pack", "project", "session"].map((what) => `list ${what}`),
  ...["blob", "pack", "page", "rollup"].map((what) => `put ${what}`),
  ...["blob", "gc", "head", "session"].map((what) => `swap ${what}`),
  ...["blob", "pack", "page", "rollup"].map((what) => `delete ${what}`),
  "clock",
];
/** What a run of 10,000 seeds has to reach. */
const CELL_MIN = 100;
const FAULTS_MIN = 1_000_000;
const KINDS_MIN = 15;

/** Why the faults of other operations cannot befall this one. Each has those of its own, and those of actors. */
const OTHERS: Readonly<Record<FaultOperation, string>> = {
  read: "A read changes nothing: a late or second one does nothing, and an answer that is lost is a timeout.",
  list:
    "A list changes nothing either, and one that is damaged is no list: adapters refuse what they cannot parse. " +
    "What it can do is leave out what is new.",
  put:
    "A put has no precondition: no 409 and no 412; 429 is answered as 503 is. Its content cannot be torn: stores " +
    "check its length and digest, and what is not stored whole is not there (put-500).",
  swap:
    "A swap is one request whose length and digest the store checks: it cannot be torn. A full store refuses it as " +
    "one that fails does (swap-500).",
  delete:
    "A delete carries names, each of which is gone or is not (delete-partial: some of several). A second one does " +
    "nothing.",
  clock: "The store's time comes with any answer: it can be wrong, or not come.",
};

interface Only {
  readonly isWhere: (what: string) => boolean;
  readonly why: string;
}

/** Faults of actors that some operations cannot have. */
const ONLY: Readonly<Partial<Record<FaultKind, Only>>> = {
  "actor-too-late": {
    isWhere: (what) => what === "swap head",
    why:
      "only swaps of the head are signed with the time of a check; others are signed when they are sent, and " +
      "whoever sent one has his answer, or none, before its time is over",
  },
  "actor-clock-wrong": {
    isWhere: (what) => what === "clock",
    why: "an actor reads its own clock without a request; it counts once for each actor that does",
  },
};

interface Cell {
  readonly what: string;
  readonly kind: FaultKind;
  readonly count: number;
}

/** Every fault that may befall what is done, or has to be. */
function cellsOf(table: FaultTable): Cell[] {
  const cells: Cell[] = [];
  for (const what of [...new Set([...OPERATIONS, ...table.calls.keys()])].sort()) {
    for (const kind of kindsOf(what.split(" ")[0] as FaultOperation)) {
      if (isApplicable(what, kind)) cells.push({ what, kind, count: table.count(kind, what) });
    }
  }
  return cells;
}

/** In which ways a table is less than a long run has to give. */
export function shortfalls(table: FaultTable): string[] {
  const short: string[] = [];
  const kinds = table.kinds().size;
  if (table.total < FAULTS_MIN) short.push(`${table.total} faults, not ${FAULTS_MIN}`);
  if (kinds < KINDS_MIN) short.push(`${kinds} kinds of fault, not ${KINDS_MIN}`);
  for (const what of OPERATIONS) if (!table.calls.has(what)) short.push(`${what}: never done`);
  for (const what of table.calls.keys()) {
    if (!OPERATIONS.includes(what)) short.push(`${what}: done, and not expected in scripts/sim/table.ts`);
  }
  for (const { what, kind, count } of cellsOf(table)) {
    if (count < CELL_MIN) short.push(`${what}: ${kind}: ${count}, not ${CELL_MIN}`);
  }
  return short;
}

function kindsOf(verb: FaultOperation): readonly FaultKind[] {
  return [...faultsOf(verb), ...ACTOR_FAULT_KINDS];
}

function isApplicable(what: string, kind: FaultKind): boolean {
  return ONLY[kind]?.isWhere(what) ?? true;
}

export function formatTable(table: FaultTable): string {
  const lines: string[] = [];
  for (const [verb, others] of Object.entries(OTHERS) as [FaultOperation, string][]) {
    const rows = [...table.calls.keys()].filter((what) => what.split(" ")[0] === verb).sort();
    const kinds = kindsOf(verb).filter((kind) => rows.some((what) => isApplicable(what, kind)));
    if (rows.length === 0) continue;
    const names = kinds.map((kind) => kind.replace(`${verb}-`, "").replace("actor-", ""));
    lines.push(row([verb, "calls", ...names, "all"]));
    lines.push(row(["---", "---:", ...names.map(() => "---:"), "---:"]));
    for (const what of rows) {
      const counts = kinds.map((kind) => table.count(kind, what));
      const cells = kinds.map((kind, i) => (isApplicable(what, kind) ? String(counts[i]) : "·"));
      const all = counts.reduce((sum, count) => sum + count, 0);
      lines.push(
        row([what.slice(verb.length + 1) || verb, String(table.calls.get(what)), ...cells, String(all)]),
      );
    }
    lines.push("", others, "");
  }
  lines.push("Cells that are left out (`·`, or a column that only some tables have):", "");
  for (const [kind, only] of Object.entries(ONLY)) lines.push(`- \`${kind}\`: ${only.why}.`);
  lines.push("", summaryOf(table));
  return lines.join("\n");
}

function summaryOf(table: FaultTable): string {
  const cells = cellsOf(table);
  const least = cells.reduce((a, b) => (b.count < a.count ? b : a), cells[0]!);
  return (
    `${table.total} faults of ${table.kinds().size} kinds in ${table.calls.size} operations; ` +
    `${cells.length} cells, the smallest ${least.what}: ${least.kind} with ${least.count}`
  );
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}
