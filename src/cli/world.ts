/** What a command line needs from its process, so that everything else in src/cli can be run in a test. */
import { writeSync } from "node:fs";
import type { OfflineAccounts } from "./account/account-admin.ts";
import type { OperationsProgram } from "./operations-program.ts";
import type { ServerProgram } from "./server-program.ts";

export interface CommandLineWorld {
  cwd(): string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly platform: NodeJS.Platform;
  readonly stdinIsTty: boolean;
  readonly stdoutIsTty: boolean;
  readonly stderrIsTty: boolean;
  /** Width of the terminal in cells. */
  columns(): number;
  /** All of stdin, or somewhat more than `bytesMax` of it. Rejects when the signal fires. */
  readStdin(bytesMax: number): Promise<Uint8Array>;
  /** Fires at SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
  /** From then on, what nobody caught is told to `listener` and does not end the process. */
  surviveCrashes?(listener: (error: unknown) => void): void;
  /** For `mic serve`; loaded only then. */
  loadServer?(): Promise<ServerProgram>;
  /** For `mic admin backup`, `restore` and `doctor`. */
  loadOperations?(): Promise<OperationsProgram>;
  /** For `mic admin … --data`. */
  loadOfflineAccounts?(): Promise<OfflineAccounts>;
}

const waitCell = new Int32Array(new SharedArrayBuffer(4));

/**
 * Writes everything before it returns: nothing is lost when the process ends right after. Throws `EPIPE` when
 * the reader is gone.
 */
export function writeFully(fd: number, data: string | Uint8Array): void {
  const bytes = typeof data === "string" ? Buffer.from(data) : data;
  let offset = 0;
  while (offset < bytes.length) {
    try {
      offset += writeSync(fd, bytes, offset);
    } catch (error) {
      // A pipe that some other process made non-blocking is full: wait for its reader.
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Atomics.wait(waitCell, 0, 0, 2);
    }
  }
}
