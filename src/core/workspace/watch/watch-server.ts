/**
 * The local socket of a watcher: one per workspace, for its own user only. In `.mic` where the path is short
 * enough for a socket, else in a directory of the user's that nobody else may enter.
 */
import { chmodSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { isMicError, MicError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { writeFileAtomic } from "../disk/atomic-file.ts";
import { acquireFileLock } from "../disk/lock.ts";
import { metaPath } from "../layout.ts";
import { readWatchAddress, socketPath } from "./client.ts";
import {
  decodeRequest,
  encodeLine,
  REQUEST_BYTES_MAX,
  WATCH_FILE,
  WATCH_LOCK_FILE,
  WATCH_SOCKET_FILE,
  type WatchAddress,
  type WatchAnswer,
  type WatchRequest,
} from "./protocol.ts";

export interface WatchServerOptions {
  readonly root: string;
  readonly build: string;
  readonly pid: number;
  readonly userId: number | undefined;
  readonly platform: string;
  /** For the socket where `.mic` is too far down: `$XDG_RUNTIME_DIR`, or the temporary directory. */
  readonly runtimeDirectory: string;
  readonly random: Random;
  readonly answer: (request: WatchRequest) => Promise<WatchAnswer>;
}

/** `sun_path` is 108 bytes on Linux, 104 on macOS, with the zero at the end. */
const SOCKET_PATH_BYTES_MAX = 100;
const IDLE_TIMEOUT_MS = 10_000;

/** Held by the one watcher of a workspace while it lives. Errors: `already-exists`. */
export function acquireWatchLock(
  root: string,
  clock: Clock,
  options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
): Promise<AsyncDisposable> {
  return acquireFileLock(metaPath(root, WATCH_LOCK_FILE), { timeoutMs: 0, ...options, clock }, () => {
    const pid = readWatchAddress(root)?.pid;
    return new MicError(
      "already-exists",
      `a watcher is running in this workspace${pid === undefined ? "" : ` (process ${pid})`}`,
      { hint: "`mic watch --stop` ends it", data: pid === undefined ? {} : { pid } },
    );
  });
}

/** With the watch lock held. Disposing ends it and takes its address back. */
export async function listenForQuestions(options: WatchServerOptions): Promise<AsyncDisposable> {
  const { root } = options;
  removeLeftOver(root, options);
  const address: WatchAddress = {
    socket: chooseSocket(options),
    pid: options.pid,
    build: options.build,
  };
  const path = socketPath(root, address);
  const server = createServer((socket) => converse(socket, options));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  const isPipe = options.platform === "win32";
  if (!isPipe) chmodSync(path, 0o600);
  writeFileAtomic(metaPath(root, WATCH_FILE), Buffer.from(encodeLine(address)), { unlocked: true });
  return {
    async [Symbol.asyncDispose]() {
      await close(server);
      // Another workspace may be in its place by now.
      if (readWatchAddress(root)?.pid === options.pid) {
        rmSync(metaPath(root, WATCH_FILE), { force: true });
        if (!isPipe) rmSync(path, { force: true });
      }
    },
  };
}

function converse(socket: Socket, options: WatchServerOptions): void {
  let text = "";
  socket.setTimeout(IDLE_TIMEOUT_MS, () => socket.destroy());
  // Whoever asked is gone: nobody to tell.
  socket.on("error", () => socket.destroy());
  socket.setEncoding("utf8");
  socket.on("data", (part: string) => {
    text += part;
    if (text.length > REQUEST_BYTES_MAX) socket.destroy();
    if (!text.endsWith("\n")) return;
    socket.pause();
    socket.setTimeout(0);
    void reply(text, options).then((line) => socket.end(line));
  });
}

async function reply(line: string, options: WatchServerOptions): Promise<string> {
  try {
    return encodeLine(await options.answer(decodeRequest(line)));
  } catch (error) {
    if (!isMicError(error)) throw error;
    return encodeLine({ kind: "blind", reason: error.message });
  }
}

/** Of a watcher that was killed: the lock says that none lives. */
function removeLeftOver(root: string, options: WatchServerOptions): void {
  const left = readWatchAddress(root);
  if (left !== undefined && options.platform !== "win32") {
    const path = socketPath(root, left);
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats?.isSocket() === true && stats.uid === options.userId) rmSync(path, { force: true });
  }
  rmSync(metaPath(root, WATCH_FILE), { force: true });
  if (options.platform !== "win32") rmSync(metaPath(root, WATCH_SOCKET_FILE), { force: true });
}

function chooseSocket(options: WatchServerOptions): string {
  const { root, platform, userId, runtimeDirectory, random } = options;
  const name = Buffer.from(random.bytes(16)).toString("hex");
  if (platform === "win32") return `\\\\.\\pipe\\mic-watch-${name}`;
  if (Buffer.byteLength(metaPath(root, WATCH_SOCKET_FILE)) <= SOCKET_PATH_BYTES_MAX) return WATCH_SOCKET_FILE;
  const directory = join(runtimeDirectory, `mic-${userId ?? "watch"}`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const stats = lstatSync(directory);
  if (!stats.isDirectory() || stats.uid !== userId || (stats.mode & 0o077) !== 0) {
    throw new MicError("forbidden", `${directory} is not a directory that is yours alone`, {
      hint: "remove it, or set XDG_RUNTIME_DIR to a private directory",
    });
  }
  return join(directory, `${name.slice(0, 16)}.sock`);
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
