/** `mic serve` on a bucket: its caches, what it says about them, and how it starts while the bucket is probed. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { mintProjectId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import { type RunningServer, startServer } from "../../src/server/serve.ts";
import { TestProject } from "../support/forge-project.ts";
import { S3Server } from "../support/s3-server.ts";

const TOKEN = "mic_0123456789abcdef0123456789abcdef0123456789abcdef";
let directory: string;
let s3: S3Server;
let log: Record<string, unknown>[];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "mic-storage-"));
  s3 = await S3Server.start();
  log = [];
});
afterEach(async () => {
  await s3[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

function start(): Promise<RunningServer> {
  const { accessKeyId, secretAccessKey } = s3.credentials;
  // What a slow probe says after its test has ended is not the next one's.
  const lines = log;
  return startServer({
    flags: {
      data: join(directory, "data"),
      listen: "127.0.0.1:0",
      s3Bucket: s3.objects.bucket,
      s3Endpoint: s3.endpoint,
      s3Region: s3.region,
      cachePath: join(directory, "cache"),
    },
    world: {
      env: { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, MIC_OWNER_TOKEN: TOKEN },
      platform: "linux",
      isRoot: false,
      cwd: directory,
    },
    clock: systemClock,
    random: systemRandom,
    version: "0.0.0-test",
    logFormat: "json",
    writeLog: (line) => lines.push(JSON.parse(line)),
  });
}

function connect({ url }: RunningServer): Promise<Forge> {
  return openRemoteForge(url, { token: TOKEN, clock: systemClock, random: systemRandom });
}

async function metricsOf({ url }: RunningServer): Promise<string> {
  return await (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${TOKEN}` } })).text();
}

test("a second server with the same cache directory asks the bucket for nothing that never changes", async () => {
  let id: TestProject["id"];
  {
    await using server = await start();
    await using forge = await connect(server);
    const project = await TestProject.create(forge, "org/cached");
    id = project.id;
    await project.land({ put: { "a.txt": "a", "b/c.txt": "c".repeat(100_000) } });
    await project.land({ put: { "a.txt": "b" } });
    await server.drain();
  }
  log = [];
  await using server = await start();
  await using forge = await connect(server);
  s3.requests.length = 0;
  const project = new TestProject(forge, id);
  expect(await project.read(2, "a.txt")).toBe("b");
  expect(await project.read(2, "b/c.txt")).toBe("c".repeat(100_000));
  const read = s3.requests.filter(({ key }) => /\/(?:packs|pages|landing-log)\//.test(key));
  expect(read.map(({ method, key }) => `${method} ${key}`)).toEqual([]);

  const metrics = await metricsOf(server);
  expect(metrics).toMatch(/^mic_store_tier_reads_total\{tier="disk",result="hit"\} [1-9]/m);
  expect(metrics).toMatch(/^mic_store_tier_reads_total\{tier="origin",result="hit"\} 0$/m);
  expect(metrics).toMatch(/^mic_store_tier_seconds\{tier="disk",quantile="0.5"\} 0\.\d+$/m);
  expect(metrics).toMatch(/^# TYPE mic_store_tier_seconds summary$/m);
  await server.drain();
  const tiers = log.filter(({ event }) => event === "tier");
  expect(tiers.map(({ tier }) => tier)).toEqual(["memory", "disk", "origin"]);
  expect(tiers[1]!["p50"]).toBeGreaterThan(0);
});

test("a start does not wait for a slow probe: reads are answered, and writes wait for it", async () => {
  const probe = Promise.withResolvers<void>();
  s3.misbehave({ kind: "hold", until: probe.promise }, ({ key }) => key.startsWith("probe/"), 1);
  await using server = await start();
  await using forge = await connect(server);
  expect(await forge.listProjects({})).toMatchObject({ items: [] });
  const creating = forge.createProject({ id: mintProjectId(systemRandom), name: "org/late" });
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(s3.requests.filter(({ method, key }) => method === "PUT" && !key.startsWith("probe/"))).toEqual([]);
  expect(log.some(({ event }) => event === "probed")).toBe(false);
  probe.resolve();
  expect(await creating).toMatchObject({ name: "org/late" });
  expect(log.some(({ event }) => event === "probed")).toBe(true);
});

test("a bucket that a slow probe refuses is never written, and ends the server", async () => {
  const probe = Promise.withResolvers<void>();
  s3.misbehave({ kind: "hold", until: probe.promise }, ({ key }) => key.startsWith("probe/"), 1);
  s3.misbehave(
    { kind: "refuse", status: 403, code: "AccessDenied" },
    ({ key }) => key.startsWith("probe/"),
    1e6,
  );
  await using server = await start();
  await using forge = await connect(server);
  const creating = forge.createProject({ id: mintProjectId(systemRandom), name: "org/never" });
  creating.catch(() => undefined);
  probe.resolve();
  expect(await server.refused).toMatchObject({ code: "forbidden" });
  await expect(creating).rejects.toMatchObject({ code: "forbidden" });
  expect(s3.requests.filter(({ method, key }) => method === "PUT" && !key.startsWith("probe/"))).toEqual([]);
});
