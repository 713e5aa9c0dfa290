/** Times as options of commands give them. */
import { InvalidArgumentError } from "commander";

const UNIT_MS: Readonly<Record<string, number>> = {
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
  y: 365 * 86_400_000,
};
const SPAN_MS_MAX = 100 * 365 * 86_400_000;
/** A day is midnight in UTC; a time says its zone. */
const MOMENT = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?$/;

/** `12h`, `30d` in milliseconds. Errors: commander's. */
export function parseSpan(text: string): number {
  const spanMs = spanOf(text);
  if (spanMs !== undefined) return spanMs;
  throw new InvalidArgumentError("It must be a number and m, h, d, w or y, e.g. 30d.");
}

/** `2026-01-31`, `2026-01-31T10:00Z`, or `30d` for so long ago; in RFC 3339. Errors: commander's. */
export function parseMoment(text: string, nowMs: number): string {
  const spanMs = spanOf(text);
  const timeMs = spanMs === undefined ? (MOMENT.test(text) ? Date.parse(text) : Number.NaN) : nowMs - spanMs;
  if (!Number.isNaN(timeMs)) return new Date(timeMs).toISOString();
  throw new InvalidArgumentError("It must be e.g. 2026-01-31, 2026-01-31T10:00Z, or 30d for so long ago.");
}

function spanOf(text: string): number | undefined {
  const match = /^(\d{1,6})([mhdwy])$/.exec(text);
  const spanMs = match === null ? 0 : Number(match[1]) * UNIT_MS[match[2]!]!;
  return spanMs > 0 && spanMs <= SPAN_MS_MAX ? spanMs : undefined;
}
