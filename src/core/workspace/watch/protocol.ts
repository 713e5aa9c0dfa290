/**
 * What a watcher and its clients say to each other: one question and one answer per connection, each a line of
 * JSON. Where the watcher listens stands in `.mic/watch`, which exists only while one runs (or was killed).
 *
 *     → {"protocol":1,"build":"0.2.0 1f3a…","root":"/home/ada/project","ask":"status"}
 *     ← {"kind":"status","status":{…}}
 *
 * Both ends are of one build or they do not talk: an answer is what that build's own scan would have found.
 */
import { MicError } from "../../base/errors.ts";
import type { StatusResult } from "../results.ts";

export const WATCH_PROTOCOL = 1;

/** Names below `.mic`. */
export const WATCH_FILE = "watch";
export const WATCH_LOCK_FILE = "watch.lock";
export const WATCH_LOG_FILE = "watch.log";
export const WATCH_SOCKET_FILE = "watch.sock";
/** Followed by a number: made and removed to learn that all earlier events have been seen. */
export const COOKIE_PREFIX = "watch-cookie-";

export const REQUEST_BYTES_MAX = 64 << 10;
export const ANSWER_BYTES_MAX = 256 << 20;

/** `status`: the finished answer. `directories`: where a scan has to look. `about`: is it alive. */
export type WatchQuestion = "status" | "directories" | "about" | "stop";

export interface WatchRequest {
  readonly protocol: number;
  /** Version and commit of the asking executable. */
  readonly build: string;
  /** Absolute, as the asker has found it. */
  readonly root: string;
  readonly ask: WatchQuestion;
}

export type WatchAnswer =
  | { readonly kind: "status"; readonly status: StatusResult }
  | {
      readonly kind: "directories";
      /** Of the index that this is about: see `Workspace.indexIdentity`. */
      readonly index: string;
      /** Tracked directories, empty for the root, outside of which nothing has changed. */
      readonly directories: readonly string[];
    }
  | { readonly kind: "about"; readonly pid: number; readonly ready: boolean }
  | { readonly kind: "stopping"; readonly pid: number }
  /** It cannot vouch for an answer now: the asker looks for itself. */
  | { readonly kind: "blind"; readonly reason: string };

/** Content of `.mic/watch`. */
export interface WatchAddress {
  /** Absolute, or relative to `.mic`; a pipe's name on Windows. */
  readonly socket: string;
  readonly pid: number;
  readonly build: string;
}

export function encodeLine(message: WatchRequest | WatchAnswer | WatchAddress): string {
  return `${JSON.stringify(message)}\n`;
}

/** Errors: `corrupt`. */
export function decodeRequest(line: string): WatchRequest {
  const value = parseObject(line);
  const { protocol, build, root, ask } = value;
  if (
    typeof protocol !== "number" ||
    typeof build !== "string" ||
    typeof root !== "string" ||
    typeof ask !== "string"
  ) {
    throw new MicError("corrupt", "the question to the watcher has not the fields of one");
  }
  return { protocol, build, root, ask: ask as WatchQuestion };
}

/** Errors: `corrupt`. The sender is of the same build, so only the kind is looked at. */
export function decodeAnswer(line: string): WatchAnswer {
  const value = parseObject(line);
  if (typeof value["kind"] !== "string") throw new MicError("corrupt", "the watcher's answer has no kind");
  return value as unknown as WatchAnswer;
}

/** Undefined for anything that is none: a file left over by another version says nothing. */
export function decodeAddress(text: string): WatchAddress | undefined {
  let value: Record<string, unknown>;
  try {
    value = parseObject(text);
  } catch (error) {
    if (error instanceof MicError) return undefined;
    throw error;
  }
  const { socket, pid, build } = value;
  if (typeof socket !== "string" || typeof pid !== "number" || typeof build !== "string") return undefined;
  return { socket, pid, build };
}

function parseObject(line: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new MicError("corrupt", "what passed between watcher and client is no JSON", { cause: error });
  }
  if (typeof value !== "object" || value === null) {
    throw new MicError("corrupt", "what passed between watcher and client is no object");
  }
  return value as Record<string, unknown>;
}
