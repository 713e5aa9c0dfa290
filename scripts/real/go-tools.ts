/**
 * Software of others that is built from the Go module proxy: once, outside the checkout, for tests only. Every
 * version stands here. A build that fails says why and fails the run: nothing is skipped.
 *
 * MIC_TEST_VERSITYGW=v1.9.0 takes another release of versitygw.
 *
 *   bun scripts/real/go-tools.ts [NAME]…      builds them now and prints where they are; default: those of test:real
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

interface GoTool {
  readonly module: string;
  readonly version: string;
  /** For the line that is printed before a build that takes long: minutes with two cores and nothing downloaded. */
  readonly minutes: number;
}

const TOOLS = {
  grpcurl: { module: "github.com/fullstorydev/grpcurl/cmd/grpcurl", version: "v1.9.3", minutes: 1 },
  minio: { module: "github.com/minio/minio", version: "v0.0.0-20260212201848-7aac2a2c5b7c", minutes: 4 },
  /** Checks a condition and acts while it holds the object's lock. */
  versitygw: { module: "github.com/versity/versitygw/cmd/versitygw", version: "v1.8.0", minutes: 2 },
  /** Checks a condition and then acts: what the probe must refuse. */
  "versitygw-racy": { module: "github.com/versity/versitygw/cmd/versitygw", version: "v1.7.0", minutes: 2 },
  litestream: { module: "github.com/benbjohnson/litestream/cmd/litestream", version: "v0.5.18", minutes: 4 },
} as const satisfies Readonly<Record<string, GoTool>>;

export type GoToolName = keyof typeof TOOLS;

/** A release that the proxy here does not have can be had elsewhere. */
const VERSITYGW_VERSION = "MIC_TEST_VERSITYGW";

/** What `npm run test:real` needs, quickest first. */
export const REAL_TOOLS: readonly GoToolName[] = [
  "grpcurl",
  "versitygw",
  "versitygw-racy",
  "minio",
  "litestream",
];

/** Its path. Throws where there is no Go, or where its source cannot be fetched or built. */
export function buildGoTool(name: GoToolName): string {
  const { module, minutes }: GoTool = TOOLS[name];
  const version = goToolVersion(name);
  const executable = `${module.slice(module.lastIndexOf("/") + 1)}${process.platform === "win32" ? ".exe" : ""}`;
  const directory = join(cacheDirectory(), `${name}-${version}`);
  const file = join(directory, executable);
  if (existsSync(file)) return file;
  if (spawnSync("go", ["version"]).status !== 0) {
    throw new Error(`${name} is built from its source with Go, which is not installed: https://go.dev/dl`);
  }
  console.log(`building ${name} ${version}, up to ${minutes} min`);
  const began = performance.now();
  const staging = `${directory}.building-${process.pid}`;
  mkdirSync(staging, { recursive: true });
  try {
    const install = spawnSync("go", ["install", "-ldflags=-s -w", `${module}@${version}`], {
      env: { ...process.env, CGO_ENABLED: "0", GOBIN: staging, GOFLAGS: "-buildvcs=false" },
      stdio: ["ignore", "ignore", "pipe"],
      encoding: "utf8",
      maxBuffer: 64 << 20,
    });
    if (install.status !== 0) {
      const why = install.stderr.trim().split("\n").slice(-12).join("\n");
      throw new Error(`go install ${module}@${version} failed:\n${why}`);
    }
    rmSync(directory, { recursive: true, force: true });
    renameSync(staging, directory);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
  console.log(`built ${name} in ${((performance.now() - began) / 1000).toFixed(0)} s`);
  return file;
}

/** One after the other: each build uses every core. */
export function buildGoTools(names: readonly GoToolName[] = REAL_TOOLS): void {
  for (const name of names) buildGoTool(name);
}

export function goToolVersion(name: GoToolName): string {
  const { version } = TOOLS[name];
  const chosen = name === "versitygw" ? process.env[VERSITYGW_VERSION] : undefined;
  if (chosen === undefined || chosen === "") return version;
  if (/^v\d+\.\d+\.\d+[\w.+-]*$/.test(chosen)) return chosen;
  throw new Error(`${VERSITYGW_VERSION}=${chosen} is not a version such as ${version}`);
}

function cacheDirectory(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "mic-tests");
}

if (import.meta.main) {
  const asked = process.argv.slice(2);
  const wrong = asked.find((name) => !(name in TOOLS));
  try {
    if (wrong !== undefined) throw new Error(`${wrong} is none of ${Object.keys(TOOLS).join(", ")}`);
    const names = asked.length === 0 ? REAL_TOOLS : (asked as GoToolName[]);
    for (const name of names) console.log(buildGoTool(name));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
