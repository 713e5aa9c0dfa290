/** Prints a table of faults: what was done against what went wrong, and which cells are too small. */
import type { FaultTable } from "../../src/core/store/fault-table.ts";
import {
  ACTOR_FAULT_KINDS,
  type FaultKind,
  type FaultOperation,
  faultsOf,
} from "../../src/core/store/faults.ts";

const VERBS: readonly FaultOperation[] = ["read", "list", "put", "swap", "delete", "clock"];
/** Of an actor's faults, those that only a swap or only a clock can have. */
const ONLY: Partial<Record<FaultKind, FaultOperation>> = {
  "actor-too-late": "swap",
  "actor-clock-wrong": "clock",
};

export interface Cell {
  readonly what: string;
  readonly kind: FaultKind;
  readonly count: number;
}

/** Every fault that may befall something that was done at all. */
export function cellsOf(table: FaultTable): Cell[] {
  const cells: Cell[] = [];
  for (const what of [...table.calls.keys()].sort()) {
    const verb = what.split(" ")[0] as FaultOperation;
    for (const kind of kindsOf(verb)) {
      if (isApplicable(what, kind)) cells.push({ what, kind, count: table.count(kind, what) });
    }
  }
  return cells;
}

function kindsOf(verb: FaultOperation): readonly FaultKind[] {
  const actor = ACTOR_FAULT_KINDS.filter((kind) => ONLY[kind] === undefined || ONLY[kind] === verb);
  return [...faultsOf(verb), ...actor];
}

/** Only swaps of the head carry the time of a check. */
function isApplicable(what: string, kind: FaultKind): boolean {
  return kind !== "actor-too-late" || what === "swap head";
}

export function formatTable(table: FaultTable): string {
  const lines: string[] = [];
  for (const verb of VERBS) {
    const rows = [...table.calls.keys()].filter((what) => what.split(" ")[0] === verb).sort();
    if (rows.length === 0) continue;
    const kinds = kindsOf(verb);
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
    lines.push("");
  }
  lines.push(`${table.total} faults, ${table.kinds().size} kinds, ${table.calls.size} operations`);
  return lines.join("\n");
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}
