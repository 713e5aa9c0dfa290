/**
 * Lands a real history through the binary and compares it byte for byte.
 *
 *   npm run test:history
 *
 * Takes the pinned versions of PACKAGES, changes names, modes and kinds between them, lands each, then at 20
 * positions compares `mic goto` in the workspace and a fresh `mic clone --at` with what stood there when it was
 * landed. Last line: `N passed, N failed`.
 */
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { MIC, scratch } from "../bench/harness.ts";
import { fetchPackages, PACKAGES } from "./packages.ts";
import { compareSnapshots, type Snapshot, takeSnapshot } from "./snapshot.ts";

const CHECKED_POSITIONS = 20;
/** Exactly what the ignore rules written below name. */
const isIgnored = (path: string): boolean =>
  /(^|\/)(ignored-[^/]*|node_modules)(\/|$)/.test(path) || path.endsWith(".log");

let passed = 0;
let failed = 0;
function check(name: string, differences: readonly string[]): void {
  if (differences.length === 0) {
    passed++;
    return;
  }
  failed++;
  console.log(`FAILED ${name}: ${differences.length} differences`);
  for (const line of differences.slice(0, 10)) console.log(`  ${line}`);
}

using directory = scratch("history");
const work = join(directory.path, "work");
const env = {
  ...process.env,
  MIC_HOME: join(directory.path, "home"),
  MIC_AUTHOR: "History <history@example.org>",
};
function mic(cwd: string, ...args: string[]): string {
  return execFileSync(MIC, args, { cwd, env, encoding: "utf8", maxBuffer: 1 << 30 });
}

/** Interleaves the packages, so that every landing changes one of them. */
function schedule(): { name: string; version: string }[] {
  const steps: { name: string; version: string }[] = [];
  const longest = Math.max(...PACKAGES.map((one) => one.versions.length));
  for (let i = 0; i < longest; i++) {
    for (const { name, versions } of PACKAGES) {
      if (i < versions.length) steps.push({ name, version: versions[i]! });
    }
  }
  return steps;
}

/** What a package manager's history lacks: links, modes, swaps, renames, Unicode and ignored names. */
function disturb(step: number): void {
  const extra = join(work, "extra");
  mkdirSync(extra, { recursive: true });
  const at = (name: string): string => join(extra, name);
  const remove = (name: string): void => rmSync(at(name), { recursive: true, force: true });

  remove("link");
  if (step % 3 !== 0) symlinkSync(step % 2 === 0 ? "../express/package.json" : `nowhere-${step}`, at("link"));
  remove("dir-link");
  if (step % 4 === 1) symlinkSync("../lodash", at("dir-link"));

  writeFileSync(at("tool.sh"), "#!/bin/sh\necho tool\n");
  chmodSync(at("tool.sh"), step % 2 === 0 ? 0o755 : 0o644);

  remove("swap");
  if (step % 2 === 0) writeFileSync(at("swap"), `a file at step ${step}\n`);
  else {
    mkdirSync(at("swap/deep/er"), { recursive: true });
    writeFileSync(at("swap/deep/er/file"), `below a directory at step ${step}\n`);
  }
  remove("link-or-file");
  if (step % 2 === 0) symlinkSync("swap", at("link-or-file"));
  else writeFileSync(at("link-or-file"), "plain\n");

  for (const name of readdirSync(extra).filter((one) => one.startsWith("renamed-"))) unlinkSync(at(name));
  writeFileSync(at(`renamed-${step}.txt`), "the same content under a new name each time\n".repeat(50));

  for (const name of [
    "größe.txt",
    "日本語/ファイル.md",
    "emoji-🦊.txt",
    "space and 'quotes' \"too\".txt",
    "-dash",
    "a:b",
  ]) {
    mkdirSync(join(at(name), ".."), { recursive: true });
    writeFileSync(at(name), `${name} ${Math.floor(step / 5)}\n`);
  }
  writeFileSync(at("empty"), "");
  writeFileSync(at("binary"), Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 31 + step) % 256)));
  writeFileSync(at("no-newline"), `step ${step}`);
  writeFileSync(at("crlf.txt"), `one\r\ntwo ${step}\r\n`);
  writeFileSync(at("large"), Buffer.alloc(3 << 20, `large content, window ${Math.floor(step / 10)} `));
  if (step % 5 === 0) appendFileSync(at("large"), `changed at ${step}`);

  writeFileSync(join(work, ".micignore"), "ignored-*\n*.log\n");
  writeFileSync(at("ignored-file"), `never landed ${step}\n`);
  mkdirSync(at("ignored-dir/inner"), { recursive: true });
  writeFileSync(at("ignored-dir/inner/file"), "never landed\n");
  writeFileSync(at("debug.log"), `never landed ${step}\n`);
}

const packages = fetchPackages(PACKAGES);
const steps = schedule();
console.log(`${steps.length} versions of ${PACKAGES.map((one) => one.name).join(", ")}`);
mkdirSync(work);
mic(work, "init", "--name", "local/history");
const snapshots: Snapshot[] = [new Map()];
const started = performance.now();
for (const [index, { name, version }] of steps.entries()) {
  const target = join(work, name);
  rmSync(target, { recursive: true, force: true });
  cpSync(packages.get(`${name}@${version}`)!, target, { recursive: true, verbatimSymlinks: true });
  disturb(index);
  if (index % 7 === 3 && existsSync(join(work, "express"))) {
    // A directory that moves away and comes back with the package's next version.
    renameSync(join(work, "express"), join(work, `express-moved-${index}`));
  }
  for (const name of readdirSync(work).filter((one) => one.startsWith("express-moved-"))) {
    if (name !== `express-moved-${index}`) rmSync(join(work, name), { recursive: true });
  }
  const landed = JSON.parse(mic(work, "land", `${name} ${version}`, "--json", "--quiet"));
  check(`position of landing ${index + 1}`, landed.position === index + 1 ? [] : [`got ${landed.position}`]);
  snapshots.push(takeSnapshot(work, isIgnored));
}
const landedAfter = performance.now() - started;
console.log(
  `landed ${steps.length} in ${(landedAfter / 1000).toFixed(1)} s; newest tree ${snapshots.at(-1)!.size} files`,
);

const last = steps.length;
const positions = new Set(
  Array.from(
    { length: CHECKED_POSITIONS },
    (_, i) => 1 + Math.round((i * (last - 1)) / (CHECKED_POSITIONS - 1)),
  ),
);
// From both ends towards the middle, so that each goto crosses many landings in both directions.
const order = [...positions].sort((a, b) => a - b);
for (let low = 0, high = order.length - 1; low <= high; low++, high--) {
  for (const position of new Set([order[high]!, order[low]!])) {
    mic(work, "goto", `@${position}`, "--quiet");
    check(`goto @${position}`, compareSnapshots(snapshots[position]!, takeSnapshot(work, isIgnored)));
    const clone = join(directory.path, `clone-${position}`);
    mic(directory.path, "clone", work, clone, "--at", String(position), "--quiet");
    check(
      `clone --at ${position}`,
      compareSnapshots(
        snapshots[position]!,
        takeSnapshot(clone, () => false),
      ),
    );
    const status = JSON.parse(mic(clone, "status", "--json"));
    check(
      `status of the clone at ${position}`,
      status.changes.length === 0 ? [] : [JSON.stringify(status.changes)],
    );
    rmSync(clone, { recursive: true });
  }
}
mic(work, "goto", "@latest", "--quiet");
check("goto @latest", compareSnapshots(snapshots.at(-1)!, takeSnapshot(work, isIgnored)));
check(
  "ignored files are left alone",
  lstatSync(join(work, "extra/ignored-dir/inner/file")).isFile() ? [] : ["an ignored file is gone"],
);
const fsck = JSON.parse(mic(work, "fsck", "--json"));
check(
  "fsck",
  fsck.findings.length === 0 ? [] : fsck.findings.map((finding: unknown) => JSON.stringify(finding)),
);

console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
