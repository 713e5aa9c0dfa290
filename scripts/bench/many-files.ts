/**
 * A million small files landed, looked at, cloned and checked, with the peak memory of each process.
 *
 *   npm run bench -- many-files [--files 1000000]
 *
 * A thousand files of about 100 bytes in each directory. The bars are for a million files; with fewer they say
 * little.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Measured, MIC, run, scratch } from "./harness.ts";

const { values } = parseArgs({ options: { files: { type: "string", default: "1000000" } } });
const FILES = Number(values.files);
const FILES_PER_DIRECTORY = 1000;
const CHANGED_EVERY = 10;

using directory = scratch("many-files");
const env = { MIC_HOME: join(directory.path, "home"), MIC_AUTHOR: "Bench <bench@example.org>" };
const work = join(directory.path, "work");
mkdirSync(work);

/** The files whose number is a multiple of `every`, with content that no other file or round has. */
function writeFiles(every: number, round: string): number {
  let written = 0;
  for (let number = 0; number < FILES; number += every) {
    const parent = join(
      work,
      `directory-${String(Math.floor(number / FILES_PER_DIRECTORY)).padStart(4, "0")}`,
    );
    if (number % FILES_PER_DIRECTORY === 0) mkdirSync(parent, { recursive: true });
    const text = `${round}: file ${number}\n`;
    const noise = Math.imul(number + 1, 0x9e3779b1).toString(36);
    writeFileSync(
      join(parent, `file-${number}.txt`),
      `${text}${noise.repeat(16).slice(0, 99 - text.length)}\n`,
    );
    written++;
  }
  return written;
}

let missed = 0;
function show(name: string, measured: Measured, barMegabytes: number): void {
  const megabytes = measured.peakBytes / 1e6;
  const met = megabytes < barMegabytes;
  if (!met) missed++;
  const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1).padStart(6)} s`;
  console.log(
    `${name.padEnd(28)} ${seconds(measured.wallMs)}  cpu ${seconds(measured.cpuMs)}  peak ${megabytes.toFixed(0).padStart(5)} MB  bar ${String(barMegabytes).padStart(4)} MB  ${met ? "met" : "MISSED"}`,
  );
}

writeFiles(1, "first");
run([MIC, "init", "--name", "local/many"], { cwd: work, env });
show(`first land of ${FILES}`, run([MIC, "land", "many"], { cwd: work, env }), 1000);
show("status, nothing changed", run([MIC, "status"], { cwd: work, env }), 500);
const changed = writeFiles(CHANGED_EVERY, "second");
show(`status, ${changed} changed`, run([MIC, "status"], { cwd: work, env }), 700);
show(`land of ${changed}`, run([MIC, "land", "changed"], { cwd: work, env }), 1000);
show("clone", run([MIC, "clone", work, join(directory.path, "clone")], { cwd: directory.path, env }), 800);
show("fsck", run([MIC, "fsck"], { cwd: work, env }), 1000);
process.exitCode = missed === 0 ? 0 : 1;
