/** `git daemon` for a benchmark: the repositories below a directory, on a port of their own. */
import { connect } from "node:net";
import { freePort } from "../real/object-servers.ts";

export interface GitDaemon extends AsyncDisposable {
  readonly port: number;
  url(repository: string): string;
}

export async function startGitDaemon(
  base: string,
  env: Readonly<Record<string, string>>,
): Promise<GitDaemon> {
  const port = await freePort();
  const child = Bun.spawn(
    [
      "git",
      "daemon",
      "--reuseaddr",
      "--export-all",
      "--enable=receive-pack",
      `--base-path=${base}`,
      "--listen=127.0.0.1",
      `--port=${port}`,
    ],
    { stdin: "ignore", stdout: "ignore", stderr: "ignore", env: { ...process.env, ...env } },
  );
  await untilOpen(port);
  return {
    port,
    url: (repository) => `git://127.0.0.1:${port}/${repository}`,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await child.exited;
    },
  };
}

async function untilOpen(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
      socket.on("close", () => undefined);
      setTimeout(() => socket.destroy(), 50);
    });
    if (isOpen) return;
    await Bun.sleep(50);
  }
  throw new Error("git daemon does not answer");
}
