/** `mic serve`: the forge behind one port, until it is told to stop. */
import { systemClock, systemRandom } from "../../core/base/system.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import { bucketDefaults } from "../config.ts";
import { BrokenPipe, usageError } from "../errors.ts";
import type { Invocation } from "../invocation.ts";
import { defineServeFlags } from "../serve-flags.ts";
import type { RunningServerHandle, ServeFlags } from "../server-program.ts";
import { escapeLine } from "../text.ts";
import { versionInfo } from "../version.ts";
import { writeFully } from "../world.ts";

export const define: DefineCommand = (command, bind) => {
  defineServeFlags(command)
    .addHelpText(
      "after",
      [
        examples(
          "mic serve --data /srv/mic",
          "mic serve --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem",
          "mic serve --s3-bucket forge --s3-endpoint http://localhost:9000",
        ),
        "",
        "The same by variables: STORAGE_BACKEND=local|s3|tiered, STORAGE_LOCAL_PATH,",
        "S3_BUCKET, S3_REGION, S3_ENDPOINT, S3_PREFIX, STORAGE_CACHE_PATH,",
        "STORAGE_CACHE_MAX_BYTES, STORAGE_CACHE_MEMORY_MAX_BYTES, STORAGE_CDN_BASE_URL,",
        "STORAGE_CDN_TIMEOUT_MS, STORAGE_PRESIGNED;",
        "credentials as AWS's tools find them. Any number of servers and commands may",
        "work on one bucket at the same time.",
        "MIC_PUBLIC_URL, MIC_ALLOWED_HOSTS, MIC_TRUSTED_PROXIES, MIC_CORS_ORIGINS,",
        "MIC_RATE_LIMIT and MIC_ALLOW_OUTBOUND stand for the flags of the network.",
        "",
        "The first start makes the owner token and prints it once; MIC_OWNER_TOKEN",
        "sets one instead. SIGTERM and SIGINT let running calls finish; a second one",
        "ends the server at once.",
      ].join("\n"),
    )
    .action(bind(serve));
};

async function serve(invocation: Invocation, flags: ServeFlags): Promise<void> {
  const { world, output, options } = invocation;
  if (world.loadServer === undefined) throw usageError("there is no server in this program");
  const json = options.json === true;
  const { startServer } = await world.loadServer();
  let started = false;
  const early: string[] = [];
  const writeLine = (line: string): void => writeLog(json ? 1 : 2, line);
  const server = await startServer({
    flags,
    world: {
      env: world.env,
      platform: world.platform,
      isRoot: process.getuid?.() === 0,
      cwd: invocation.cwd,
      s3Defaults: bucketDefaults(invocation.config),
    },
    clock: systemClock,
    random: systemRandom,
    version: versionInfo().version,
    logFormat: json ? "json" : "text",
    // What was logged before the first line is written after it.
    writeLog: (line) => {
      if (started) writeLine(line);
      else early.push(line);
    },
    verbose: options.verbose === true,
  });
  // One call's mistake must not cut off everybody else; what is stored survives any crash.
  world.surviveCrashes?.((error) => server.log.error("uncaught", { error }));
  for (const line of json ? announceJson(server) : announceText(server)) writeLine(line);
  started = true;
  for (const line of early) writeLine(line);
  const refused = await Promise.race([fired(world.signal), server.refused]);
  if (refused === undefined) output.note("finishing running calls; a second signal ends them");
  await server.drain();
  if (refused !== undefined) throw refused;
}

function announceJson({ url, dataDirectory, storage, newOwnerToken }: RunningServerHandle): string[] {
  const lines = [JSON.stringify({ event: "listening", url, data: dataDirectory, storage })];
  if (newOwnerToken !== undefined) {
    lines.push(
      JSON.stringify({ event: "owner-token", token: newOwnerToken, login: loginLine(url, newOwnerToken) }),
    );
  }
  return lines;
}

function announceText({ url, storage, newOwnerToken }: RunningServerHandle): string[] {
  const lines = [`serving ${escapeLine(storage)} at ${url}`];
  if (newOwnerToken !== undefined) {
    lines.push("the owner token is shown this once; sign in with:", `  ${loginLine(url, newOwnerToken)}`);
  }
  return lines;
}

function loginLine(url: string, token: string): string {
  return `mic auth login --server ${url} --token ${token}`;
}

/** Whoever read the lines may be gone; the server goes on. */
function writeLog(fd: number, line: string): void {
  try {
    writeFully(fd, `${line}\n`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof BrokenPipe || code === "EPIPE" || code === "EBADF" || code === "EIO") return;
    throw error;
  }
}

function fired(signal: AbortSignal): Promise<undefined> {
  if (signal.aborted) return Promise.resolve(undefined);
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(undefined), { once: true }));
}
