/** What `mic admin doctor` asks of buckets: nothing is written. */
import { spawnSync } from "node:child_process";
import path from "node:path";
import { connectS3 } from "../../core/store/s3/connect.ts";
import { formatBucketAddress, type S3Settings } from "../../core/store/s3/environment.ts";
import { accountsFile } from "../auth/owner-token.ts";
import { LEASE_KEY } from "../auth/replica/lease.ts";
import { decodeLease } from "../auth/replica/lease-record.ts";
import { findLitestream, LITESTREAM_HINT } from "../auth/replica/litestream.ts";
import { readReplicaState } from "../auth/replica/replica-state.ts";
import type { Asked, Finding } from "./doctor.ts";

const SKEW_MS_WARN = 30_000;
/** Beyond it requests are refused, and landings too. */
const SKEW_MS_FAIL = 300_000;
/** What Litestream of this kind knows: one replica for each database, a socket, generations by path. */
const LITESTREAM_LEAST = [0, 5];

export async function checkBucket(asked: Asked): Promise<readonly Finding[]> {
  const { origin } = asked.options.storage;
  return origin.kind === "s3" ? await askBucket("bucket", origin.settings, asked) : [];
}

async function askBucket(name: string, settings: S3Settings, asked: Asked): Promise<Finding[]> {
  const { world, clock, random } = asked;
  const { env } = world;
  await using store = await connectS3(settings, {
    env,
    clock,
    random,
    transport: "undici",
    timeoutMs: 10_000,
  });
  const beganAt = performance.now();
  await store.list("", { limit: 1 });
  const ms = Math.round(performance.now() - beganAt);
  const skewMs = (await store.nowMs()) - clock.nowMs();
  const size = Math.abs(skewMs);
  const isLate = size > SKEW_MS_WARN;
  return [
    {
      name,
      state: "ok",
      detail: `${formatBucketAddress(settings)} answers in ${ms} ms; mic storage probe tries it out`,
    },
    {
      name: "clock",
      state: size > SKEW_MS_FAIL ? "fail" : isLate ? "warn" : "ok",
      detail: `${(size / 1000).toFixed(0)} s from the clock of ${formatBucketAddress(settings)}`,
      ...(isLate ? { hint: "set the clock by NTP: timedatectl set-ntp true" } : {}),
    },
  ];
}

export async function checkReplica(asked: Asked): Promise<readonly Finding[]> {
  const { options, world, clock, random } = asked;
  const name = "replica";
  if (options.replica === undefined) {
    const detail = "the accounts are on this disk alone";
    return [
      {
        name,
        state: "warn",
        detail,
        hint: "--auth-replica s3://bucket/prefix, or mic admin backup every day",
      },
    ];
  }
  const { settings } = options.replica;
  const findings: Finding[] = [litestreamFinding(world.env)];
  await using store = await connectS3(settings, {
    env: world.env,
    clock,
    random,
    transport: "undici",
    timeoutMs: 10_000,
  });
  const found = await store.get(LEASE_KEY);
  const where = formatBucketAddress(settings);
  if (found === undefined) {
    return [
      ...findings,
      { name, state: "ok", detail: `${where} holds no accounts yet: the first start makes them` },
    ];
  }
  const { url, expiresAtMs, generation, source } = decodeLease(found.bytes, where);
  const { holder } = decodeLease(found.bytes, where);
  const state = readReplicaState(path.dirname(accountsFile(options.dataDirectory)), random);
  const who = holder === state.holder ? "this server" : url === "" ? "a server that is starting" : url;
  const silentMs = (await store.nowMs()) - expiresAtMs;
  if (expiresAtMs === 0 || silentMs > 0) {
    const since =
      expiresAtMs === 0 ? "it gave the lease up" : `it was last seen ${(silentMs / 1000).toFixed(0)} s ago`;
    findings.push({
      name,
      state: "warn",
      detail: `there is no primary; the last was ${who}: ${since} (generation ${generation})`,
      hint: "start a server: it takes over",
    });
  } else {
    findings.push({ name, state: "ok", detail: `${who} is the primary (generation ${generation})` });
  }
  if (source === 0) {
    const detail = "nothing has been replicated yet";
    findings.push({ name, state: "warn", detail, hint: "see the log of the primary for litestream" });
  }
  return findings;
}

function litestreamFinding(env: Asked["world"]["env"]): Finding {
  const name = "litestream";
  const executable = findLitestream(env);
  if (executable === undefined)
    return { name, state: "fail", detail: "it is not installed", hint: LITESTREAM_HINT };
  const run = spawnSync(executable, ["version"], { encoding: "utf8", timeout: 10_000 });
  const version = (run.stdout ?? "").trim();
  const match = /v?(\d+)\.(\d+)/.exec(version);
  // A build from source does not know its version.
  if (match === null)
    return { name, state: "warn", detail: `${executable} does not say its version`, hint: LITESTREAM_HINT };
  const isOld =
    Number(match[1]) === LITESTREAM_LEAST[0]
      ? Number(match[2]) < LITESTREAM_LEAST[1]!
      : Number(match[1]) < LITESTREAM_LEAST[0]!;
  if (isOld) return { name, state: "fail", detail: `${executable} is ${version}`, hint: LITESTREAM_HINT };
  return { name, state: "ok", detail: `${version} (${executable})` };
}
