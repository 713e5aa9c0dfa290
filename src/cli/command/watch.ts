/** `mic watch`: in the foreground until interrupted, or as a process of its own. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, realpathSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Option } from "commander";
import { type ErrorCode, MicError } from "../../core/base/errors.ts";
import { absoluteOf } from "../../core/base/home.ts";
import { systemClock, systemRandom } from "../../core/base/system.ts";
import { findWorkspaceRoot, metaPath } from "../../core/workspace/layout.ts";
import { askWatcher } from "../../core/workspace/watch/client.ts";
import { WATCH_LOG_FILE } from "../../core/workspace/watch/protocol.ts";
import type { WatchEvent } from "../../core/workspace/watch/watch-service.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import { usageError } from "../errors.ts";
import type { Invocation } from "../invocation.ts";
import { escapeLine, plural } from "../text.ts";
import { productBuild } from "../version.ts";
import { askOptions } from "../watcher.ts";

interface Options {
  readonly daemon?: boolean;
  readonly stop?: boolean;
  /** Set for the process that `--daemon` starts. */
  readonly logged?: boolean;
}

export const define: DefineCommand = (command, bind) => {
  command
    .option("--daemon", "watch in a process of its own, until --stop or the workspace moves")
    .option("--stop", "end the workspace's watcher")
    .addOption(new Option("--logged").hideHelp())
    .addHelpText(
      "after",
      examples(["mic watch --daemon", "status and land ask it from now on"], "mic watch --stop", [
        "mic watch --json",
        "in the foreground, one line per event",
      ]),
    )
    .action(bind(watch));
};

async function watch(invocation: Invocation, options: Options): Promise<void> {
  if (options.daemon && options.stop) throw usageError("--daemon and --stop exclude each other");
  const root = realpathSync(await findWorkspaceRoot(invocation.cwd));
  if (options.stop) await stop(invocation, root);
  else if (options.daemon) await startDaemon(invocation, root);
  else await watchHere(invocation, root, options.logged === true);
}

// In this process

const LOG_BYTES_MAX = 512 << 10;

async function watchHere(invocation: Invocation, root: string, isLogged: boolean): Promise<void> {
  const [
    { WatchService },
    { acquireWatchLock, listenForQuestions },
    { ChokidarSource },
    { requireWatchable },
  ] = await Promise.all([
    import("../../core/workspace/watch/watch-service.ts"),
    import("../../core/workspace/watch/watch-server.ts"),
    import("../../core/workspace/watch/chokidar-source.ts"),
    import("../../core/workspace/watch/watchable.ts"),
  ]);
  const { world, signal } = invocation;
  requireWatchable(root, world.platform);
  await using _lock = await acquireWatchLock(root, systemClock);
  const { signal: _interrupt, onProgress: _bar, ...context } = invocation.workspaceContext();
  const options = { root, build: productBuild(), pid: process.pid };
  const onEvent = isLogged ? logger(invocation, root) : (event: WatchEvent) => show(invocation, root, event);
  await using service = await WatchService.start({
    ...options,
    context,
    makeSource: () => new ChokidarSource(root),
    onEvent,
  });
  await using _server = await listenForQuestions({
    ...options,
    userId: process.getuid?.(),
    platform: world.platform,
    runtimeDirectory: absoluteOf(world.env, "XDG_RUNTIME_DIR") ?? tmpdir(),
    random: systemRandom,
    answer: (request) => service.answer(request),
  });
  const interrupted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve());
  });
  await Promise.race([service.ended, interrupted]);
}

function show({ output }: Invocation, root: string, event: WatchEvent): void {
  if (output.json) {
    output.document(event.event === "watching" ? { ...event, root, pid: process.pid } : event);
  } else {
    const line = describe(event, root);
    if (line !== undefined && !output.quiet) output.line(line);
  }
  output.flush();
}

function describe(event: WatchEvent, root: string): string | undefined {
  switch (event.event) {
    case "watching":
      return `watching ${escapeLine(root)} (${plural(event.files, "file")}, ${plural(event.changes, "change")})`;
    case "changes":
      return plural(event.changes, "change");
    case "answered":
      return undefined;
    case "rescan":
      return `looked at everything again: ${escapeLine(event.reason)}`;
    case "blind":
      return `cannot watch: ${escapeLine(event.reason)}`;
    case "ended":
      return `ended: ${escapeLine(event.reason)}`;
  }
}

/** stdout is the log, opened for appending: it is cut when it has grown. */
function logger({ output }: Invocation, root: string): (event: WatchEvent) => void {
  let bytes = 0;
  return (event) => {
    const line = JSON.stringify({ time: new Date(systemClock.nowMs()).toISOString(), ...event });
    bytes += line.length + 1;
    if (bytes > LOG_BYTES_MAX) {
      truncateSync(metaPath(root, WATCH_LOG_FILE), 0);
      bytes = line.length + 1;
    }
    output.line(line);
    output.flush();
  };
}

// In a process of its own

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
const POLL_MS = 20;

async function startDaemon(invocation: Invocation, root: string): Promise<void> {
  const { output, signal } = invocation;
  const log = metaPath(root, WATCH_LOG_FILE);
  const { acquireWatchLock } = await import("../../core/workspace/watch/watch-server.ts");
  {
    // One that runs keeps its log.
    await using _lock = await acquireWatchLock(root, systemClock);
    truncateLog(log);
  }
  const logFile = openSync(log, "a", 0o600);
  const child = spawn(process.execPath, [...ownScript(), "-C", root, "--json", "watch", "--logged"], {
    // Keeps no directory in use.
    cwd: path.parse(root).root,
    detached: true,
    stdio: ["ignore", logFile, logFile],
    windowsHide: true,
  });
  closeSync(logFile);
  let exitCode: number | undefined;
  child.on("error", () => {
    exitCode = 1;
  });
  child.on("exit", (code) => {
    exitCode = code ?? 1;
  });
  const deadlineMs = systemClock.nowMs() + START_TIMEOUT_MS;
  for (;;) {
    await systemClock.sleep(POLL_MS, signal);
    if (exitCode !== undefined) throw startError(log);
    const asked = await askWatcher(root, "about", askOptions());
    if (asked.kind === "about" && asked.pid === child.pid) break;
    if (systemClock.nowMs() > deadlineMs) {
      child.kill();
      throw new MicError("internal", `the watcher did not start in ${START_TIMEOUT_MS / 1000} s`);
    }
  }
  child.unref();
  const event = { event: "watching", root, pid: child.pid };
  output.answer(event, () => `watching ${escapeLine(root)} in process ${child.pid}`);
}

/** Empty for the executable; the script where a runtime runs the source. */
function ownScript(): string[] {
  const script = process.argv[1];
  return script === undefined || /^(?:\/\$bunfs\/|[A-Z]:[\\/]~BUN[\\/])/i.test(script) ? [] : [script];
}

function truncateLog(log: string): void {
  try {
    truncateSync(log, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

/** From the error document that the child wrote. */
function startError(log: string): MicError {
  const lines = readFileSync(log, "utf8").trimEnd().split("\n");
  const last = lines.findLast((line) => line.startsWith('{"error":')) ?? lines.at(-1) ?? "";
  if (!last.startsWith('{"error":')) {
    return new MicError("internal", `the watcher ended as it started: ${last.slice(0, 500)}`);
  }
  const { code, message, hint, ...data } = (
    JSON.parse(last) as { error: { code: ErrorCode; message: string; hint?: string } }
  ).error;
  return new MicError(code, message, { ...(hint === undefined ? {} : { hint }), data });
}

async function stop({ output, signal }: Invocation, root: string): Promise<void> {
  const asked = await askWatcher(root, "stop", askOptions());
  if (asked.kind !== "stopping") {
    if (asked.kind === "unreachable") output.detail(`the watcher does not answer: ${asked.reason}`);
    output.answer({ event: "stopped", running: false }, () => "no watcher is running");
    return;
  }
  // It lets go of its lock last: another one can be started now.
  const { acquireWatchLock } = await import("../../core/workspace/watch/watch-server.ts");
  await using _lock = await acquireWatchLock(root, systemClock, { timeoutMs: STOP_TIMEOUT_MS, signal });
  output.answer({ event: "stopped", running: true, pid: asked.pid }, () => `ended process ${asked.pid}`);
}
