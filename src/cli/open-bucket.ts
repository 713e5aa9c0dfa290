/**
 * A forge or a store in a bucket, for a command. Before something is made in a bucket for the first time, the store is
 * probed; that it passed is remembered in the configuration directory, one file for each endpoint and bucket.
 */
import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import path from "node:path";
import { systemClock, systemRandom } from "../core/base/system.ts";
import { bucketOfAddress, openBucketStore, openForgeOnStore } from "../core/forge/bucket-forge.ts";
import type { Forge } from "../core/forge/forge.ts";
import type { S3Store } from "../core/store/s3/open.ts";
import { cacheBucket } from "./bucket-cache.ts";
import { bucketDefaults, homeDirectory } from "./config.ts";
import type { Invocation } from "./invocation.ts";
import { replaceFile } from "./replace-file.ts";

/** Of one request; `--timeout` is that of a call to the store with its repetitions, and may be shorter. */
const REQUEST_TIMEOUT_MS = 30_000;
/** A store may be replaced or upgraded behind its endpoint. */
const REMEMBERED_MS = 30 * 86_400_000;

/** Errors: those of `openStore`, and `unsupported` for a store that fails the probe. */
export async function openBucket(invocation: Invocation, address: string, create: boolean): Promise<Forge> {
  const store = await openStore(invocation, address);
  try {
    if (create) await probeOnce(invocation, address, store);
    const identity = `${await whereIs(invocation, address)} ${store.description}`;
    const cached = cacheBucket(invocation, store, identity);
    return await openForgeOnStore(cached, address, {
      clock: systemClock,
      random: systemRandom,
      landTimeoutMs: invocation.timeoutMs,
    });
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
}

/** Errors: `usage`, `unsupported`, `unauthenticated`. */
export async function openStore(invocation: Invocation, address: string): Promise<S3Store> {
  const { world, config, output } = invocation;
  return await openBucketStore(address, {
    env: world.env,
    defaults: bucketDefaults(config),
    clock: systemClock,
    random: systemRandom,
    timeoutMs: Math.min(REQUEST_TIMEOUT_MS, invocation.timeoutMs),
    patienceMs: invocation.timeoutMs,
    ...(invocation.options.verbose === true
      ? {
          onRequest: ({ operation, status, durationMs }) =>
            output.note(`s3 ${operation} ${status} in ${durationMs.toFixed(1)} ms`),
        }
      : {}),
  });
}

/** Unless it passed within the last 30 days. Errors: `unsupported` for a store that fails. */
export async function probeOnce(invocation: Invocation, address: string, store: S3Store): Promise<void> {
  const { world, signal, output } = invocation;
  const where = await whereIs(invocation, address);
  const name = createHash("sha256").update(where).digest("hex").slice(0, 32);
  const home = homeDirectory(world);
  const file = home === undefined ? undefined : path.join(home, "probed", name);
  if (file !== undefined) {
    const passedMs = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Number.NEGATIVE_INFINITY;
    const age = systemClock.nowMs() - passedMs;
    if (age >= 0 && age < REMEMBERED_MS) return;
  }
  output.progress.update({ task: "probing the store", done: 0, total: 0, unit: "objects" });
  const { probeBucket } = await import("../core/store/s3/probe.ts");
  await probeBucket(store, { clock: systemClock, random: systemRandom, signal });
  if (file !== undefined) replaceFile(file, `${where}\n`);
}

/** Endpoint and bucket, in a text. */
async function whereIs(invocation: Invocation, address: string): Promise<string> {
  const { readS3Settings } = await import("../core/store/s3/environment.ts");
  const defaults = bucketDefaults(invocation.config);
  const { endpoint, bucket } = readS3Settings(invocation.world.env, bucketOfAddress(address), defaults);
  return `${endpoint ?? "aws"} ${bucket}`;
}
