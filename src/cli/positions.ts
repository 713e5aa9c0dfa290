/**
 * Positions as people write them: `@7`, `@latest`, `@7~2` (two before 7), `@position:7`; the bare forms `7`,
 * `latest`, `7~2` are taken where no path fits, because PowerShell eats `@latest`.
 */
import { MicError } from "../core/base/errors.ts";
import { type Position, toPosition } from "../core/base/ids.ts";
import { usageError } from "./errors.ts";

export interface PositionSpec {
  readonly anchor: number | "latest";
  /** How many positions before the anchor. */
  readonly back: number;
}

export interface RangeSpec {
  /** Exclusive; undefined: the beginning. */
  readonly after: PositionSpec | undefined;
  /** Inclusive; undefined: the newest. */
  readonly upTo: PositionSpec | undefined;
}

const PATTERN = /^(?:@(?:position:)?)?(\d+|latest)(?:~(\d*))?$/;

/** Undefined when the text does not look like a position at all. */
export function tryParsePosition(text: string): PositionSpec | undefined {
  const match = PATTERN.exec(text);
  if (match === null) {
    if (text.startsWith("@")) throw badPosition(text);
    return undefined;
  }
  const [, anchor, back] = match;
  return {
    anchor: anchor === "latest" ? "latest" : parseCount(anchor!, text),
    back: back === undefined ? 0 : back === "" ? 1 : parseCount(back, text),
  };
}

export function parsePosition(text: string): PositionSpec {
  const spec = tryParsePosition(text);
  if (spec === undefined) throw badPosition(text);
  return spec;
}

/** True for forms that can be nothing but a position. */
export function isExplicitPosition(text: string): boolean {
  return text.startsWith("@");
}

/** `A..B`, `A..`, `..B`: undefined when there is no `..` between positions. */
export function tryParseRange(text: string): RangeSpec | undefined {
  const dots = text.indexOf("..");
  if (dots === -1) return undefined;
  const [left, right] = [text.slice(0, dots), text.slice(dots + 2)];
  const after = left === "" ? undefined : tryParsePosition(left);
  const upTo = right === "" ? undefined : tryParsePosition(right);
  if ((left !== "" && after === undefined) || (right !== "" && upTo === undefined)) return undefined;
  if (left === "" && right === "") return undefined;
  return { after, upTo };
}

/** `out-of-range` when it lies before position 0 or after `latest`. */
export function resolvePosition(spec: PositionSpec, latest: Position): Position {
  const anchor = spec.anchor === "latest" ? latest : spec.anchor;
  const position = anchor - spec.back;
  if (position < 0 || position > latest) {
    // Whoever asks may not know the newest yet.
    const isTooFarBack = position < 0 && spec.anchor !== "latest";
    throw new MicError("out-of-range", `there is no position ${formatSpec(spec)}`, {
      ...(isTooFarBack
        ? { hint: "the first position is @0" }
        : { hint: `the newest position is @${latest}`, data: { latest } }),
    });
  }
  return toPosition(position);
}

export function formatSpec(spec: PositionSpec): string {
  return `@${spec.anchor}${spec.back === 0 ? "" : `~${spec.back}`}`;
}

function parseCount(digits: string, text: string): number {
  const value = Number(digits);
  if (!Number.isSafeInteger(value)) throw new MicError("out-of-range", `${text} is beyond 2^53 - 1`);
  return value;
}

function badPosition(text: string): MicError {
  return usageError(`${JSON.stringify(text)} is not a position`, "write @7, @latest, @latest~1, or 7");
}
