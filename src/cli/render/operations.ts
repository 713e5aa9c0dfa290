/** The workspace's operation log, as documents and as text. */
import type { OperationSummary } from "../../core/workspace/results.ts";
import type { Style } from "../style.ts";
import { escapeLine, padEnd, padStart, truncate } from "../text.ts";
import { formatMinute, toRfc3339 } from "./time.ts";

export function operationDocument(operation: OperationSummary): Record<string, unknown> {
  const { number, kind, timeMs, description, from, to, undone } = operation;
  return { number, kind, time: toRfc3339(timeMs), description, from, to, undone };
}

/** Newest first. */
export function renderOperations(
  operations: readonly OperationSummary[],
  style: Style,
  columns: number,
): string {
  const digits = Math.max(2, ...operations.map((operation) => String(operation.number).length));
  return operations
    .map(({ number, timeMs, description, from, to, undone }) => {
      const time = formatMinute(timeMs);
      const move = from === to ? `@${to}` : `@${from} → @${to}`;
      const room = columns - digits - time.length - 22;
      const text = padEnd(truncate(escapeLine(description), room), room);
      const line = `${padStart(String(number), digits)}  ${time}  ${text}  ${move}`;
      return undone ? style.dim(`${line}  undone`) : line;
    })
    .join("\n");
}
