/** `mic storage` on real object servers: who can hold a forge and who cannot, and forges that move in and out. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MIC, scratch } from "../bench/harness.ts";
import type { Checks } from "./checks.ts";
import { setEnvironment } from "./environment.ts";
import { goToolVersion } from "./go-tools.ts";
import { startObjectServer } from "./object-servers.ts";
import { expectDone, mic } from "./run-mic.ts";
import { compareSnapshots, takeSnapshot } from "./snapshot.ts";

const BUCKET = "storage";
/** A store that checks and then acts is found by its races: once may be luck. */
const REFUSALS = 5;

interface ProbeDocument {
  readonly passed: boolean;
  readonly checks: readonly { readonly name: string; readonly passed: boolean; readonly problem?: string }[];
}

export async function storage(checks: Checks): Promise<void> {
  using directory = scratch("storage");
  const home = join(directory.path, "home");
  for (const kind of ["minio", "versitygw"] as const) {
    await using server = await startObjectServer(kind);
    await server.makeBucket(BUCKET);
    using _environment = setEnvironment(server.environment(BUCKET));
    const run = await mic(directory.path, ["storage", "probe", `s3://${BUCKET}`, "--json"], home);
    const report = JSON.parse(run.stdout) as ProbeDocument;
    const failed = report.checks.filter(({ passed }) => !passed);
    checks.expect(
      `the probe passes ${kind} ${goToolVersion(kind)}`,
      { code: run.code, failed },
      { code: 0, failed: [] },
    );
    await migrate(checks, kind, join(directory.path, kind), home);
  }
  await refuse(checks, directory.path, home);
}

async function refuse(checks: Checks, directory: string, home: string): Promise<void> {
  await using racy = await startObjectServer("versitygw-racy");
  await racy.makeBucket(BUCKET);
  using _environment = setEnvironment(racy.environment(BUCKET));
  const who = `versitygw ${goToolVersion("versitygw-racy")}`;
  let refused = 0;
  for (let i = 0; i < REFUSALS; i++) {
    const run = await mic(directory, ["storage", "probe", `s3://${BUCKET}`, "--json"], home);
    const { passed, checks: found } = JSON.parse(run.stdout) as ProbeDocument;
    if (i === 0)
      for (const { name, problem } of found) if (problem !== undefined) console.log(`  ${name}: ${problem}`);
    if (run.code === 1 && !passed && found.every((check) => check.passed || check.name.endsWith("race")))
      refused++;
  }
  checks.expect(`the probe refuses ${who}, for its races`, refused, REFUSALS);
  const child = Bun.spawn(
    [
      MIC,
      "serve",
      "--data",
      join(directory, "refused"),
      "--listen",
      "127.0.0.1:0",
      "--s3-bucket",
      BUCKET,
      "--json",
    ],
    { env: process.env, stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  checks.expect(
    `mic serve refuses ${who}`,
    { code, text: stdout + stderr },
    { code: 1, text: /cannot hold a forge.*race/ },
  );
}

/** From a directory into the bucket, killed on the way and taken up again, and out into another directory. */
async function migrate(checks: Checks, kind: string, directory: string, home: string): Promise<void> {
  const source = join(directory, "source");
  mkdirSync(source, { recursive: true });
  await expectDone(source, ["init", "--name", "acme/moving"], home);
  for (let round = 0; round < 8; round++) {
    for (let i = 0; i < 40; i++)
      writeFileSync(join(source, `file-${i}`), `${round} ${i} ${"x".repeat(i * 997)}\n`);
    writeFileSync(join(source, "large"), new Uint8Array(3 << 20).fill(round));
    await expectDone(source, ["land", `round ${round}`], home);
  }
  const forge = join(source, ".mic", "forge");
  const [bucket, back] = [`s3://${BUCKET}/${kind}`, join(directory, "back")];
  const killed = await mic(directory, ["storage", "migrate", forge, bucket], home, 60);
  await expectDone(directory, ["storage", "migrate", forge, bucket], home);
  await expectDone(directory, ["storage", "migrate", bucket, back], home);
  const expected = takeSnapshot(source, () => false);
  const differences: string[] = [];
  for (const [name, address] of [
    ["in the bucket", `${bucket}/acme/moving`],
    ["in a directory again", `${back}/acme/moving`],
  ] as const) {
    const clone = join(directory, name);
    await expectDone(directory, ["clone", address, clone], home);
    differences.push(
      ...compareSnapshots(
        expected,
        takeSnapshot(clone, () => false),
      ),
    );
    await expectDone(clone, ["fsck"], home);
  }
  const how = killed.killed ? ", killed once on the way" : "";
  checks.expect(`a forge moves into ${kind} and back${how}`, differences, []);
  const stat = await expectDone(directory, ["storage", "stat", bucket, "--json"], home);
  checks.expect("mic storage stat counts it", JSON.parse(stat.stdout).projects, [{ project: "acme/moving" }]);
}
