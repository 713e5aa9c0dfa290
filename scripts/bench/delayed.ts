/** A port behind which a local port answers, every round trip later by some milliseconds. */
import { join } from "node:path";

export interface DelayedPort extends AsyncDisposable {
  readonly port: number;
}

/** Without a delay: the port itself. */
export async function delayed(port: number, roundTripMs: number): Promise<DelayedPort> {
  if (roundTripMs === 0) return { port, [Symbol.asyncDispose]: async () => undefined };
  const script = join(import.meta.dirname, "delay-proxy.ts");
  const child = Bun.spawn([process.execPath, script, String(port), String(roundTripMs)], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const { value } = await child.stdout.getReader().read();
  return {
    port: Number(new TextDecoder().decode(value)),
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await child.exited;
    },
  };
}
