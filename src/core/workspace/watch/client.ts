/**
 * Asks a workspace's watcher. A watcher that is not there, does not answer in time, is of another build or
 * says that it is blind all come to the same: the caller looks for itself. Loads nothing but this file needs:
 * `mic status` has to start in milliseconds.
 */
import { lstatSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { isAbsolute } from "node:path";
import { errorCode, isMissing, metaPath } from "../layout.ts";
import {
  ANSWER_BYTES_MAX,
  decodeAddress,
  decodeAnswer,
  encodeLine,
  WATCH_FILE,
  WATCH_PROTOCOL,
  type WatchAddress,
  type WatchAnswer,
  type WatchQuestion,
} from "./protocol.ts";

export interface AskOptions {
  /** Version and commit of this executable. */
  readonly build: string;
  /** Of this process; undefined where there are no user ids. A socket of somebody else is not spoken to. */
  readonly userId: number | undefined;
  /** Default ANSWER_TIMEOUT_MS. */
  readonly timeoutMs?: number;
}

export type Asked =
  | WatchAnswer
  /** None was ever started, or it ended properly. */
  | { readonly kind: "none" }
  | { readonly kind: "unreachable"; readonly reason: string };

/** Longer than a watcher takes to look at everything again in a large workspace. */
const ANSWER_TIMEOUT_MS = 2000;
const NEWLINE = 0x0a;

export async function askWatcher(root: string, ask: WatchQuestion, options: AskOptions): Promise<Asked> {
  const address = readWatchAddress(root);
  if (address === undefined) return { kind: "none" };
  if (address.build !== options.build && ask !== "stop") {
    // It is asked all the same: that tells it to end.
    void converse(root, address, ask, { ...options, timeoutMs: 100 }).catch(() => undefined);
    return { kind: "unreachable", reason: "it is of another version" };
  }
  try {
    return await converse(root, address, ask, options);
  } catch (error) {
    return { kind: "unreachable", reason: error instanceof Error ? error.message : String(error) };
  }
}

export function readWatchAddress(root: string): WatchAddress | undefined {
  try {
    return decodeAddress(readFileSync(metaPath(root, WATCH_FILE), "utf8"));
  } catch (error) {
    if (isMissing(error) || errorCode(error) === "EACCES") return undefined;
    throw error;
  }
}

export function socketPath(root: string, address: WatchAddress): string {
  const { socket } = address;
  return socket.startsWith("\\\\") || isAbsolute(socket) ? socket : metaPath(root, socket);
}

async function converse(
  root: string,
  address: WatchAddress,
  ask: WatchQuestion,
  options: AskOptions,
): Promise<WatchAnswer> {
  const path = socketPath(root, address);
  checkOwner(path, options.userId);
  return await new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let length = 0;
    const socket = connect(path);
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    socket.setTimeout(options.timeoutMs ?? ANSWER_TIMEOUT_MS, () => fail(new Error("no answer in time")));
    socket.on("error", fail);
    socket.on("close", () => reject(new Error("it closed the connection")));
    socket.on("connect", () => {
      socket.write(encodeLine({ protocol: WATCH_PROTOCOL, build: options.build, root, ask }));
    });
    socket.on("data", (part: Buffer) => {
      parts.push(part);
      length += part.length;
      if (length > ANSWER_BYTES_MAX) fail(new Error("its answer is too long"));
      if (part[part.length - 1] !== NEWLINE) return;
      socket.destroy();
      try {
        resolve(decodeAnswer(Buffer.concat(parts).toString("utf8")));
      } catch (error) {
        reject(error);
      }
    });
  });
}

function checkOwner(path: string, userId: number | undefined): void {
  if (userId === undefined) return;
  const { uid } = lstatSync(path);
  if (uid !== userId) throw new Error("its socket belongs to another user");
}
