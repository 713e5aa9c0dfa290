/** Times: RFC 3339 UTC for programs, local time to the minute for people. */

const MAX_MS = 8.64e15;

export function toRfc3339(timeMs: number): string {
  return new Date(clamp(timeMs)).toISOString();
}

/** `2026-11-20 21:44`, in the terminal's time zone. */
export function formatMinute(timeMs: number): string {
  const date = new Date(clamp(timeMs));
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** `2026-11-20`, in the terminal's time zone. */
export function formatDay(timeMs: number): string {
  return formatMinute(timeMs).slice(0, 10);
}

/** A stored time may be anything; a date has bounds. */
function clamp(timeMs: number): number {
  return Number.isFinite(timeMs) ? Math.max(0, Math.min(MAX_MS, timeMs)) : 0;
}
