#!/usr/bin/env bun
/**
 * Composition root: reads the arguments, the environment and the terminal, and hands them to the command line.
 * `mic version` is answered here, before anything else is loaded.
 */
import { isPlainVersionRequest, versionText } from "../src/cli/version.ts";
import { type CommandLineWorld, writeFully } from "../src/cli/world.ts";

const args = process.argv.slice(2);

if (isPlainVersionRequest(args)) {
  process.exitCode = printVersion(args.includes("--json"));
} else {
  const [{ reportCrash, runCommandLine }, { isatty }] = await Promise.all([
    import("../src/cli/main.ts"),
    import("node:tty"),
  ]);
  const interrupt = new AbortController();
  listenForInterrupts(interrupt);
  let onCrash = (error: unknown): void => process.exit(reportCrash(error, args, world));
  const world: CommandLineWorld = {
    ...readWorld(isatty, interrupt.signal),
    surviveCrashes: (listener) => {
      onCrash = listener;
    },
  };
  process.on("uncaughtException", (error) => onCrash(error));
  process.on("unhandledRejection", (error) => onCrash(error));
  process.exitCode = await runCommandLine(args, world);
  // A worker or a child that still holds the event loop must not keep the shell waiting.
  process.exit();
}

function printVersion(json: boolean): number {
  try {
    writeFully(1, versionText(json));
    return 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EPIPE") return 0;
    throw error;
  }
}

/** The first signal asks the command to stop cleanly; a second one ends the process at once. */
function listenForInterrupts(interrupt: AbortController): void {
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => {
      if (interrupt.signal.aborted) process.exit(130);
      interrupt.abort(new Error(name));
    });
  }
}

function readWorld(isatty: (fd: number) => boolean, signal: AbortSignal): CommandLineWorld {
  return {
    cwd: () => process.cwd(),
    env: process.env,
    platform: process.platform,
    // Asking the descriptors is cheaper than making the streams.
    stdinIsTty: isatty(0),
    stdoutIsTty: isatty(1),
    stderrIsTty: isatty(2),
    readStdin: (bytesMax) => readStdin(bytesMax, signal),
    columns: () => process.stdout.columns ?? process.stderr.columns ?? 80,
    signal,
    loadServer: () => import("../src/server/serve.ts"),
    loadOperations: () => import("../src/server/operations/program.ts"),
    loadOfflineAccounts: () => import("../src/server/auth/offline-accounts.ts"),
  };
}

/** Asynchronous, so that an interrupt is heard while it waits. */
async function readStdin(bytesMax: number, signal: AbortSignal): Promise<Uint8Array> {
  const { addAbortSignal } = await import("node:stream");
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of addAbortSignal(signal, process.stdin)) {
    parts.push(part);
    length += part.length;
    if (length > bytesMax) break;
  }
  return Buffer.concat(parts);
}
