/** Large landings put into the bucket by the client itself, and a server that starts on a bucket it has never seen. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generator, median, scratch } from "../bench/harness.ts";
import { serve } from "../bench/server.ts";
import { startChaosProxy } from "./chaos-proxy.ts";
import type { Checks } from "./checks.ts";
import { setEnvironment } from "./environment.ts";
import { type ObjectServerKind, startObjectServer } from "./object-servers.ts";
import { expectDone } from "./run-mic.ts";
import { compareSnapshots, takeSnapshot } from "./snapshot.ts";

const BUCKET = "transfers";
const PROJECT = "acme/large";
const FILES = 160;
const FILE_BYTES = 256 << 10;
const COLD_STARTS = 5;
const COLD_MS_MAX = 1000;

export async function transfers(checks: Checks): Promise<void> {
  for (const kind of ["minio", "versitygw"] as const) await onServer(checks, kind);
}

async function onServer(checks: Checks, kind: ObjectServerKind): Promise<void> {
  using directory = scratch("transfers");
  const home = join(directory.path, "home");
  await using store = await startObjectServer(kind);
  await store.makeBucket(BUCKET);
  await using proxy = await startChaosProxy({ targetPort: store.port, seed: 1, rate: 0 });
  using _environment = setEnvironment(store.environment(BUCKET, proxy.url));
  const source = join(directory.path, "source");
  {
    const flags = ["--s3-bucket", BUCKET, "--presigned-urls"];
    await using server = await serve({ data: join(directory.path, "data"), flags });
    using _token = setEnvironment(server.env);
    await expectDone(directory.path, ["project", "create", PROJECT, "--server", server.url], home);
    await expectDone(directory.path, ["clone", `${server.url}/${PROJECT}`, source], home);
    writeFiles(source);
    const from = proxy.requests.length;
    await expectDone(source, ["land", "large"], home);
    const signed = proxy.requests
      .slice(from)
      .filter((request) => /^PUT .*[?&]X-Amz-Signature=/.test(request));
    checks.expect(`${kind}: a client puts large packs into the bucket by itself`, signed.length > 0, true);
    const clone = join(directory.path, "clone");
    await expectDone(directory.path, ["clone", `${server.url}/${PROJECT}`, clone], home);
    const differences = compareSnapshots(
      takeSnapshot(source, () => false),
      takeSnapshot(clone, () => false),
    );
    checks.expect(`${kind}: what it put there is what a clone gets`, differences, []);
    await expectDone(clone, ["fsck"], home);
  }
  const times: number[] = [];
  for (let i = 0; i < COLD_STARTS; i++) times.push(await coldRead(join(directory.path, `cold-${i}`)));
  console.log(
    `  the first read of a new server on ${kind}: ${times.map((ms) => `${ms.toFixed(0)} ms`).join(", ")}`,
  );
  checks.expect(
    `${kind}: a new server answers its first read within 1 s, half of the time or more`,
    median(times) <= COLD_MS_MAX,
    true,
  );
}

function writeFiles(root: string): void {
  const random = generator(7);
  const words = new Uint32Array(FILE_BYTES >> 2);
  for (let i = 0; i < FILES; i++) {
    // Random bytes do not compress.
    for (let k = 0; k < words.length; k++) words[k] = random() * 2 ** 32;
    mkdirSync(join(root, `d${i % 8}`), { recursive: true });
    writeFileSync(join(root, `d${i % 8}`, `file-${i}`), new Uint8Array(words.buffer));
  }
}

/** From the start of the process to the last byte of a file, in milliseconds. */
async function coldRead(data: string): Promise<number> {
  const began = performance.now();
  await using server = await serve({ data, flags: ["--s3-bucket", BUCKET] });
  const url = `${server.url}/api/mic/projects/${encodeURIComponent(PROJECT)}/files/d0/file-0`;
  const response = await fetch(url, { headers: { authorization: `Bearer ${server.token}` } });
  const { byteLength } = await response.arrayBuffer();
  if (byteLength !== FILE_BYTES)
    throw new Error(`${url} answered ${response.status} and ${byteLength} bytes`);
  return performance.now() - began;
}
