/** Successive published versions of npm packages: a real history, downloaded once into a cache outside the checkout. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

export interface PackageHistory {
  readonly name: string;
  readonly versions: readonly string[];
}

/** Pinned, so that every run sees the same history. The first three hold more than 1,000 files each. */
export const PACKAGES: readonly PackageHistory[] = [
  {
    name: "core-js",
    versions:
      "3.33.1 3.33.2 3.33.3 3.34.0 3.35.0 3.35.1 3.36.0 3.36.1 3.37.0 3.37.1 3.38.0 3.38.1 3.39.0 3.40.0 3.41.0 3.42.0 3.43.0 3.44.0 3.45.0 3.45.1 3.46.0 3.47.0".split(
        " ",
      ),
  },
  {
    name: "rxjs",
    versions:
      "7.0.0 7.0.1 7.1.0 7.2.0 7.3.0 7.3.1 7.4.0 7.5.0 7.5.1 7.5.2 7.5.3 7.5.4 7.5.5 7.5.6 7.5.7 7.6.0 7.7.0 7.8.0 7.8.1 7.8.2".split(
        " ",
      ),
  },
  {
    name: "lodash",
    versions:
      "4.16.3 4.16.4 4.16.5 4.16.6 4.17.0 4.17.1 4.17.2 4.17.3 4.17.4 4.17.5 4.17.9 4.17.10 4.17.11 4.17.12 4.17.13 4.17.14 4.17.15 4.17.16 4.17.19 4.17.20 4.17.21".split(
        " ",
      ),
  },
  {
    name: "date-fns",
    versions: "2.28.0 2.29.0 2.29.1 2.29.2 2.29.3 2.30.0 3.0.0 3.0.1 3.1.0 3.3.0 3.5.0 3.6.0".split(" "),
  },
  {
    name: "express",
    versions:
      "4.16.4 4.17.0 4.17.1 4.17.2 4.17.3 4.18.0 4.18.1 4.18.2 4.18.3 4.19.0 4.19.1 4.19.2 4.20.0 4.21.0 4.21.1 4.21.2 4.22.0 4.22.1 5.0.0 5.0.1 5.1.0 5.2.0 5.2.1 4.22.2 4.22.3 5.3.0".split(
        " ",
      ),
  },
];

function cacheDirectory(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "mic-tests", "packages");
}

/** Downloads what is not in the cache and returns the unpacked directory of each `name@version`. */
export function fetchPackages(histories: readonly PackageHistory[]): Map<string, string> {
  const cache = cacheDirectory();
  mkdirSync(cache, { recursive: true });
  const directories = new Map<string, string>();
  const missing: string[] = [];
  for (const { name, versions } of histories) {
    for (const version of versions) {
      const directory = join(cache, `${name}-${version}`);
      directories.set(`${name}@${version}`, directory);
      if (!existsSync(directory)) missing.push(`${name}@${version}`);
    }
  }
  for (let i = 0; i < missing.length; i += 12) {
    const batch = missing.slice(i, i + 12);
    const staging = join(cache, `.staging-${process.pid}`);
    rmSync(staging, { recursive: true, force: true });
    mkdirSync(staging);
    execFileSync("npm", ["pack", "--silent", "--pack-destination", staging, ...batch], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    for (const archive of readdirSync(staging).filter((name) => name.endsWith(".tgz"))) {
      const unpacked = join(staging, "unpacked");
      mkdirSync(unpacked);
      execFileSync("tar", ["-xzf", join(staging, archive), "-C", unpacked, "--strip-components=1"]);
      renameSync(unpacked, join(cache, archive.slice(0, -".tgz".length)));
    }
    rmSync(staging, { recursive: true });
  }
  return directories;
}
