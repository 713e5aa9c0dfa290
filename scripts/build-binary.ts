/**
 * Builds the standalone executable: `npm run build` makes dist/mic for this machine, `npm run build --
 * --target linux-arm64` (or `all`) makes dist/mic-linux-arm64. Runs in Bun.
 *
 * Options: `--target NAME|all` (repeatable), `--outfile PATH`, `--if-stale` (do nothing when the executable is
 * newer than every source file), `--quiet`.
 */
import { spawnSync } from "node:child_process";
import { globSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { BUILD_TARGETS, type BuildTarget, findTarget, hostTarget } from "./build-targets.ts";
import { defaultCacheDir, locatePackage } from "./fetch-package.ts";

const ROOT = path.resolve(import.meta.dirname, "..");
const ENTRY = "bin/mic.ts";

interface BundlerBuild {
  onResolve(
    filter: { filter: RegExp; namespace?: string },
    resolve: (request: { importer: string }) => { path: string; namespace?: string } | undefined,
  ): void;
  onLoad(
    filter: { filter: RegExp; namespace?: string },
    load: () => { contents: string; loader: string },
  ): void;
}

declare const Bun: {
  build(options: Record<string, unknown>): Promise<{ success: boolean; logs: unknown[] }>;
};

await main();

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      target: { type: "string", multiple: true, default: [] },
      outfile: { type: "string" },
      "if-stale": { type: "boolean", default: false },
      quiet: { type: "boolean", default: false },
    },
  });
  const host = hostTarget(process.platform, process.arch, isMusl());
  const wanted = values.target.flatMap((name) => (name === "all" ? BUILD_TARGETS : [findTarget(name)]));
  if (wanted.length > 1 && values.outfile !== undefined)
    throw new Error("--outfile needs exactly one target");
  for (const target of wanted.length === 0 ? [host] : wanted) {
    const name = wanted.length === 0 ? "mic" : `mic-${target.name}`;
    const wantedFile = path.resolve(values.outfile ?? path.join(ROOT, "dist", name));
    // Bun adds the suffix by itself where it is missing.
    const outfile = wantedFile.replace(/\.exe$/, "") + target.executableSuffix;
    if (values["if-stale"] && isFresh(outfile)) continue;
    await buildBinary(target, outfile, target.name === host.name);
    if (!values.quiet) {
      const megabytes = (statSync(outfile).size / 1e6).toFixed(1);
      process.stdout.write(`${path.relative(process.cwd(), outfile)}  ${megabytes} MB\n`);
    }
  }
}

async function buildBinary(target: BuildTarget, outfile: string, isHost: boolean): Promise<void> {
  const source = { root: ROOT, cacheDir: defaultCacheDir(process.env) };
  const hashAddon = path.join(locatePackage(target.hashPackage, source), target.hashFile);
  const sqliteEntry = path.join(locatePackage("better-sqlite3", source), target.sqliteEntry);
  // Bun would look for a foreign runtime on its own download site; the npm package is pinned and cached.
  const runtime = isHost
    ? process.execPath
    : path.join(locatePackage(target.runtimePackage, source), target.runtimeFile);
  const result = await Bun.build({
    // Workers are started by path, so the bundler cannot find them by itself.
    entrypoints: [ENTRY, ...workerEntries()].map((entry) => path.join(ROOT, entry)),
    root: ROOT,
    target: "bun",
    format: "esm",
    minify: true,
    bytecode: true,
    // A command loads only the chunks that it needs: `mic version` starts in 5 ms instead of 12.
    splitting: true,
    define: buildConstants(),
    compile: {
      target: target.bunTarget,
      executablePath: runtime,
      outfile,
      // A checkout's .env or bunfig.toml must not change what `mic` does in it.
      autoloadDotenv: false,
      autoloadBunfig: false,
    },
    plugins: [
      {
        name: "native add-ons of the target",
        setup(build: BundlerBuild) {
          build.onResolve({ filter: /^@napi-rs\/blake-hash$/ }, () => ({
            path: "blake-hash",
            namespace: "addon",
          }));
          build.onLoad({ filter: /.*/, namespace: "addon" }, () => ({
            contents: [
              `const addon = require(${JSON.stringify(hashAddon)});`,
              "export const blake3 = addon.blake3;",
              "export const Blake3Hasher = addon.Blake3Hasher;",
            ].join("\n"),
            loader: "js",
          }));
          build.onResolve({ filter: /^better-sqlite3$/ }, () => ({ path: sqliteEntry }));
        },
      },
      {
        name: "node:util when it is used",
        setup(build: BundlerBuild) {
          // The parser of arguments imports it for its help text, and loading it takes 3 ms of every command.
          build.onResolve({ filter: /^node:util$/ }, ({ importer }) =>
            /[\\/]node_modules[\\/]commander[\\/]/.test(importer)
              ? { path: "util", namespace: "lazy-util" }
              : undefined,
          );
          build.onLoad({ filter: /.*/, namespace: "lazy-util" }, () => ({
            contents: `export const stripVTControlCharacters = (text) =>
              process.getBuiltinModule("node:util").stripVTControlCharacters(text);`,
            loader: "js",
          }));
        },
      },
      {
        name: "no React developer tools",
        setup(build: BundlerBuild) {
          build.onResolve({ filter: /^react-devtools-core$/ }, () => ({ path: "stub", namespace: "stub" }));
          build.onLoad({ filter: /.*/, namespace: "stub" }, () => ({
            contents: "export default {};",
            loader: "js",
          }));
        },
      },
    ],
  });
  if (!result.success) throw new AggregateError(result.logs, `the build for ${target.name} failed`);
}

/** Every module whose name ends in `-worker.ts` is a worker's entry. Relative to the root, sorted. */
function workerEntries(): string[] {
  return globSync("src/**/*-worker.ts", { cwd: ROOT })
    .map((file) => file.replaceAll("\\", "/"))
    .sort();
}

/** Read by src/cli/version.ts. The commit's own date keeps builds of one commit alike. */
function buildConstants(): Record<string, string> {
  const manifest = JSON.parse(readFileSync(path.join(ROOT, "package.json"), "utf8")) as { version: string };
  const commit = git("rev-parse", "--short=12", "HEAD");
  const dirty = commit !== "" && git("status", "--porcelain", "--untracked-files=no") !== "";
  return {
    MIC_BUILD_VERSION: JSON.stringify(manifest.version),
    MIC_BUILD_COMMIT: JSON.stringify(commit === "" ? "unknown" : commit + (dirty ? "-modified" : "")),
    MIC_BUILD_DATE: JSON.stringify(git("log", "-1", "--format=%cI") || "unknown"),
    "process.env.NODE_ENV": JSON.stringify("production"),
    "process.env.DEV": JSON.stringify("false"),
  };
}

/** Empty when this is not a git checkout. */
function git(...args: string[]): string {
  const result = spawnSync("git", args, { cwd: ROOT, encoding: "utf8" });
  return result.status === 0 ? result.stdout.trim() : "";
}

function isFresh(outfile: string): boolean {
  const built = statSync(outfile, { throwIfNoEntry: false })?.mtimeMs;
  if (built === undefined) return false;
  const sources = globSync(
    ["bin/**/*.ts", "src/**/*.{ts,tsx,json}", "scripts/build-*.ts", "package-lock.json"],
    {
      cwd: ROOT,
    },
  );
  return sources.every((file) => statSync(path.join(ROOT, file)).mtimeMs < built);
}

function isMusl(): boolean {
  if (process.platform !== "linux") return false;
  return !/\/(?:ld-linux[^/\s]*|libc)\.so\.\d/.test(readFileSync("/proc/self/maps", "latin1"));
}
