/**
 * One large file landed, changed by one byte, landed again and cloned, with the peak memory of each process: in a
 * directory, or with --served through `mic serve`.
 *
 *   npm run bench -- large-file [--gib 5] [--served]
 *
 * The content does not compress and repeats nowhere. Works on a disk, because the file and its copies do not
 * fit in memory: set BENCH_DIR.
 */
import { createHash } from "node:crypto";
import { closeSync, mkdirSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { generator, type Measured, MIC, run, scratch } from "./harness.ts";
import { serve } from "./server.ts";

const { values } = parseArgs({
  options: { gib: { type: "string", default: "5" }, served: { type: "boolean", default: false } },
});
const BYTES = Number(values.gib) * 2 ** 30;
const BLOCK = 4 << 20;
const PEAK_BYTES_MAX = 300 * 1000 * 1000;

using directory = scratch("large-file");
await using server = values.served ? await serve({ data: join(directory.path, "forge") }) : undefined;
const env = {
  MIC_HOME: join(directory.path, "home"),
  MIC_AUTHOR: "Bench <bench@example.org>",
  ...server?.env,
};
const work = join(directory.path, "work");
const clone = join(directory.path, "clone");
mkdirSync(work);

function writeLargeFile(path: string): void {
  const random = generator(7);
  const block = new Uint32Array(BLOCK / 4);
  const file = openSync(path, "w");
  for (let written = 0; written < BYTES; written += BLOCK) {
    for (let i = 0; i < block.length; i++) block[i] = random() * 2 ** 32;
    writeSync(file, block, 0, Math.min(BLOCK, BYTES - written));
  }
  closeSync(file);
}

function hashFile(path: string): string {
  const hash = createHash("sha256");
  const file = openSync(path, "r");
  const buffer = Buffer.alloc(BLOCK);
  for (let count = readSync(file, buffer); count > 0; count = readSync(file, buffer)) {
    hash.update(buffer.subarray(0, count));
  }
  closeSync(file);
  return hash.digest("hex");
}

let missed = 0;
function show(name: string, measured: Measured): void {
  const met = measured.peakBytes < PEAK_BYTES_MAX;
  if (!met) missed++;
  console.log(
    `${name.padEnd(28)} ${(measured.wallMs / 1000).toFixed(1).padStart(7)} s  peak ${(measured.peakBytes / 1e6).toFixed(0).padStart(4)} MB  bar 300 MB  ${met ? "met" : "MISSED"}`,
  );
}

const path = join(work, "large.bin");
writeLargeFile(path);
if (server === undefined) run([MIC, "init", "--name", "local/large"], { cwd: work, env });
else {
  run([MIC, "project", "create", "local/large"], { cwd: directory.path, env });
  run([MIC, "link", "local/large", "--at", "0"], { cwd: work, env });
}
show(`land ${values.gib} GiB`, run([MIC, "land", "large", "--allow-large"], { cwd: work, env }));
const file = openSync(path, "r+");
writeSync(file, Buffer.from("one byte changed"), 0, 16, Math.floor(BYTES / 2));
closeSync(file);
show("land one changed place", run([MIC, "land", "changed"], { cwd: work, env }));
const address = server === undefined ? work : `${server.url}/local/large`;
show("clone", run([MIC, "clone", address, clone], { cwd: directory.path, env }));
if (server !== undefined) show("the server", { wallMs: 0, cpuMs: 0, peakBytes: server.peakBytes() });
const equal = hashFile(path) === hashFile(join(clone, "large.bin"));
console.log(equal ? "the clone is equal byte for byte" : "THE CLONE DIFFERS");
process.exitCode = missed === 0 && equal ? 0 : 1;
