/** The server's log: structured records, written as JSON lines or as text for people. */
import type { Clock } from "../core/base/clock.ts";
import type { ServerLog } from "./context.ts";

export type LogLevel = "info" | "warn" | "error";

export interface LogRecord {
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly level: LogLevel;
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Names whose values are secrets, whoever puts them into a record. */
const SECRET_FIELD = /token|authorization|secret|password|cookie/i;
/** The id of a token tells which one was used, and cannot be used itself. */
const NO_SECRET_FIELD = "tokenId";
/** Something that looks like a token, a code or a secret inside a text; MIC_PUBLIC_URL is none. */
const SECRET_TEXT =
  /\bmic[rsdo]?_[A-Za-z0-9_-]{8,}|\bwhsec_[A-Za-z0-9+/=]{8,}|\b(?:[Bb]earer|BEARER|[Bb]asic|BASIC) +\S+/g;
const TEXT_CHARACTERS_MAX = 4096;

export function createLog(clock: Clock, write: (record: LogRecord) => void): ServerLog {
  const log =
    (level: LogLevel) =>
    (event: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      write({ time: new Date(clock.nowMs()).toISOString(), level, event, fields: cleanFields(fields) });
  return { info: log("info"), warn: log("warn"), error: log("error") };
}

/** One line of JSON without its line break. */
export function formatJsonRecord({ time, level, event, fields }: LogRecord): string {
  const { time: _time, level: _level, event: _event, ...rest } = fields;
  return JSON.stringify({ time, level, event, ...rest });
}

/** One line for people, control characters escaped: `TIME level event key=value …`. */
export function formatTextRecord({ time, level, event, fields }: LogRecord): string {
  const parts = Object.entries(fields).map(([key, value]) => `${key}=${formatValue(value)}`);
  return [time, level.padEnd(5), event, ...parts].join(" ");
}

function formatValue(value: unknown): string {
  if (typeof value === "string" && /^[\w.:/@+-]+$/.test(value)) return value;
  return escapeNonPrintable(JSON.stringify(value) ?? "undefined");
}

function escapeNonPrintable(text: string): string {
  return text.replace(/[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

function cleanFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const clean: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) clean[key] = isSecretField(key) ? "[secret]" : cleanValue(value);
  }
  return clean;
}

function isSecretField(name: string): boolean {
  return name !== NO_SECRET_FIELD && SECRET_FIELD.test(name);
}

function cleanValue(value: unknown): unknown {
  if (value instanceof Error) return cleanText(value.stack ?? `${value.name}: ${value.message}`);
  if (typeof value === "string") return cleanText(value);
  if (typeof value === "bigint") return value.toString();
  return value;
}

function cleanText(text: string): string {
  const shown = text.length > TEXT_CHARACTERS_MAX ? `${text.slice(0, TEXT_CHARACTERS_MAX)}…` : text;
  return shown.replace(SECRET_TEXT, "[secret]");
}
