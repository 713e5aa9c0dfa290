/** Real object servers, each a process of its own over a fresh directory in memory, on a free port. */
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildGoTool } from "./go-tools.ts";
import { type Keys, signedRequest } from "./signed-request.ts";

export type ObjectServerKind = "minio" | "versitygw" | "versitygw-racy";

export interface ObjectServer extends AsyncDisposable {
  readonly kind: ObjectServerKind;
  readonly endpoint: string;
  readonly port: number;
  readonly pid: number;
  readonly keys: Keys;
  makeBucket(name: string): Promise<void>;
  /** Anybody may read its objects, as behind a CDN. */
  allowReads(bucket: string): Promise<void>;
  /** For `mic`, with `endpoint` in place of the server's own where something stands between. */
  environment(bucket: string, endpoint?: string): Record<string, string>;
  /** As after a power cut, with the same data on the same port. Resolves when it answers. */
  killAndRestart(): Promise<void>;
  /** The last lines that it wrote. */
  log(): string;
}

const KEYS: Keys = { accessKeyId: "mic-test-key", secretAccessKey: "mic-test-secret" };
const READY_MS_MAX = 30_000;

/** Throws with the server's own words when it does not answer in time. */
export async function startObjectServer(kind: ObjectServerKind): Promise<ObjectServer> {
  const file = buildGoTool(kind);
  const directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), `mic-${kind}-`));
  const data = join(directory, "data");
  mkdirSync(data);
  const logFile = join(directory, "log");
  const port = await freePort();
  const { args, env } = commandLine(kind, data, port);
  const log = openSync(logFile, "a");
  const spawn = (): Bun.Subprocess =>
    Bun.spawn([file, ...args], {
      cwd: directory,
      env: { ...process.env, HOME: directory, ...env },
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
  let child = spawn();
  const endpoint = `http://127.0.0.1:${port}`;
  const lastLines = (): string => readFileSync(logFile, "utf8").trim().split("\n").slice(-10).join("\n");
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.exited;
  };
  const ready = (): Promise<void> => untilReady(endpoint, () => child.exitCode ?? child.signalCode);
  const end = async (): Promise<void> => {
    await kill();
    rmSync(directory, { recursive: true, force: true });
  };
  const request = async (method: string, path: string, query = "", body?: string): Promise<void> => {
    const response = await signedRequest(endpoint, KEYS, method, path, query, body);
    const text = await response.text();
    if (!response.ok) throw new Error(`${kind}: ${method} ${path} answered ${response.status}: ${text}`);
  };
  try {
    await ready();
  } catch (cause) {
    const words = lastLines();
    await end();
    throw new Error(`${kind} did not start: ${words}`, { cause });
  }
  return {
    kind,
    endpoint,
    port,
    get pid() {
      return child.pid;
    },
    keys: KEYS,
    makeBucket: (name) => request("PUT", `/${name}`),
    allowReads: (bucket) => request("PUT", `/${bucket}`, "policy=", readPolicy(bucket)),
    environment: (bucket, through = endpoint) => ({
      S3_BUCKET: bucket,
      S3_ENDPOINT: through,
      S3_REGION: "us-east-1",
      S3_FORCE_PATH_STYLE: "true",
      AWS_ACCESS_KEY_ID: KEYS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: KEYS.secretAccessKey,
    }),
    killAndRestart: async () => {
      await kill();
      child = spawn();
      await ready();
    },
    log: lastLines,
    [Symbol.asyncDispose]: end,
  };
}

function commandLine(
  kind: ObjectServerKind,
  data: string,
  port: number,
): { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> } {
  const { accessKeyId, secretAccessKey } = KEYS;
  if (kind === "minio") {
    return {
      args: ["server", data, "--address", `127.0.0.1:${port}`, "--quiet"],
      env: {
        MINIO_BROWSER: "off",
        MINIO_PROMETHEUS_AUTH_TYPE: "public",
        MINIO_ROOT_USER: accessKeyId,
        MINIO_ROOT_PASSWORD: secretAccessKey,
      },
    };
  }
  return {
    args: ["--port", `127.0.0.1:${port}`, "posix", data],
    env: { ROOT_ACCESS_KEY: accessKeyId, ROOT_SECRET_KEY: secretAccessKey },
  };
}

async function untilReady(endpoint: string, ended: () => number | string | null): Promise<void> {
  const deadline = performance.now() + READY_MS_MAX;
  for (;;) {
    try {
      const response = await signedRequest(endpoint, KEYS, "GET", "/");
      await response.arrayBuffer();
      if (response.ok) return;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
    }
    if (ended() !== null) throw new Error(`it ended with ${ended()}`);
    if (performance.now() > deadline) throw new Error(`no answer within ${READY_MS_MAX / 1000} s`);
    await Bun.sleep(50);
  }
}

function readPolicy(bucket: string): string {
  const allow = { Effect: "Allow", Principal: { AWS: ["*"] }, Action: ["s3:GetObject"] };
  return JSON.stringify({
    Version: "2012-10-17",
    Statement: [{ ...allow, Resource: [`arn:aws:s3:::${bucket}/*`] }],
  });
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}
