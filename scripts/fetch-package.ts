/**
 * Gets an npm package of another platform: from node_modules when it is there, else with `npm pack` into a
 * cache outside the checkout. The version and the integrity hash come from package-lock.json, which pins the
 * native packages of every platform as optional dependencies.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";

interface Pin {
  readonly version: string;
  readonly integrity: string;
}

export interface PackageSource {
  readonly root: string;
  readonly cacheDir: string;
}

export function defaultCacheDir(env: NodeJS.ProcessEnv): string {
  const base =
    env["MIC_BUILD_CACHE"] ?? path.join(env["XDG_CACHE_HOME"] ?? path.join(homedir(), ".cache"), "mic-build");
  return path.resolve(base);
}

/** The directory of the unpacked package. */
export function locatePackage(name: string, source: PackageSource): string {
  const pin = readPin(name, source.root);
  const installed = path.join(source.root, "node_modules", name);
  if (existsSync(installed)) {
    const manifest = JSON.parse(readFileSync(path.join(installed, "package.json"), "utf8")) as {
      version: string;
    };
    if (manifest.version === pin.version) return installed;
  }
  const target = path.join(source.cacheDir, `${name.replace("/", "__")}@${pin.version}`);
  if (existsSync(target)) return target;
  mkdirSync(source.cacheDir, { recursive: true });
  const scratch = mkdtempSync(path.join(source.cacheDir, "fetch-"));
  try {
    run("npm", ["pack", `${name}@${pin.version}`, "--silent", "--pack-destination", scratch], scratch);
    const archive = readdirSync(scratch).find((file) => file.endsWith(".tgz"));
    if (archive === undefined) throw new Error(`npm pack ${name} left no archive`);
    checkIntegrity(name, readFileSync(path.join(scratch, archive)), pin.integrity);
    run("tar", ["-xzf", archive], scratch);
    renameSync(path.join(scratch, "package"), target);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return target;
}

/** Errors when the lock does not name the package. */
export function readPin(name: string, root: string): Pin {
  const lock = JSON.parse(readFileSync(path.join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, Partial<Pin>>;
  };
  const locked = lock.packages[`node_modules/${name}`];
  if (locked?.version === undefined || locked.integrity === undefined) {
    throw new Error(`${name} is not pinned in package-lock.json`);
  }
  return { version: locked.version, integrity: locked.integrity };
}

function checkIntegrity(name: string, archive: Uint8Array, integrity: string): void {
  const found = `sha512-${createHash("sha512").update(archive).digest("base64")}`;
  if (found !== integrity) throw new Error(`${name}: the archive's hash is ${found}, expected ${integrity}`);
}

function run(command: string, args: readonly string[], cwd: string): void {
  const result = spawnSync(command, args, {
    cwd,
    stdio: ["ignore", "ignore", "inherit"],
    shell: process.platform === "win32",
  });
  if (result.error !== undefined) throw result.error;
  if (result.status !== 0) throw new Error(`${command} ${args.join(" ")} exited with ${result.status}`);
}
