import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/core/base/system.ts";
import { openLocalStore } from "../../src/core/store/local-store.ts";
import { listAll } from "../conformance/object-store.ts";

const CHILD = join(import.meta.dirname, "..", "support", "store-child.ts");
/** Raised in long runs. */
const KILLS = Number(process.env["MIC_TEST_KILLS"] ?? 12);

describe("a local store between processes", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "mic-store-"));
    await (await openLocalStore(directory, { clock: systemClock, create: true }))[Symbol.asyncDispose]();
  });
  afterEach(() => rm(directory, { recursive: true }));

  test("8 processes swap one key 100 times each and lose none", async () => {
    const writers = Array.from({ length: 8 }, (_, i) => startWriter(directory, 100, `w${i}`, 0));
    const results = await Promise.all(writers.map(({ done }) => done));
    expect(results.map(({ code }) => code)).toEqual(Array(8).fill(0));
    const values = results.flatMap(({ acknowledged }) => acknowledged).sort((a, b) => a - b);
    expect(values).toEqual(Array.from({ length: 800 }, (_, i) => i));
    await using store = await openLocalStore(directory, { clock: systemClock, create: false });
    expect(new TextDecoder().decode((await store.get("head"))!.bytes)).toBe("800");
    expect(await listAll(store, "puts/")).toHaveLength(800);
  });

  test("kill -9 of writers loses nothing acknowledged and leaves nothing half-written", async () => {
    const acknowledged: number[] = [];
    for (let round = 0; round < KILLS; round++) {
      const writers = [0, 1].map((i) => startWriter(directory, 1_000_000, `r${round}w${i}`, 3));
      await Promise.race(writers.map(({ firstLine }) => firstLine));
      await systemClock.sleep((round * 7) % 40);
      for (const { kill } of writers) kill();
      for (const { done } of writers) acknowledged.push(...(await done).acknowledged);

      await using store = await openLocalStore(directory, { clock: systemClock, create: false });
      const value = Number(new TextDecoder().decode((await store.get("head"))!.bytes));
      expect(new Set(acknowledged).size).toBe(acknowledged.length);
      expect(Math.max(...acknowledged)).toBeLessThan(value);
      const keys = await listAll(store, "puts/");
      expect(keys).toHaveLength(value);
      for (const { key, size } of keys) {
        const bytes = (await store.get(key))!.bytes;
        expect(bytes.length).toBe(size);
        expect(bytes[size - 1]).toBe(Number(key.slice("puts/".length)) & 0xff);
      }
      // Opening swept what the killed writers left: only files with a row are there.
      const large = keys.filter(({ size }) => size > 1_000_000).length;
      expect(filesUnder(join(directory, "large"))).toBe(large);
    }
    expect(acknowledged.length).toBeGreaterThan(KILLS);
    expect(readdirSync(directory).sort()).toEqual(["large", "store.sqlite"]);
  });
});

interface Writer {
  readonly firstLine: Promise<void>;
  /** Values whose commit the process saw. */
  readonly done: Promise<{ code: number | null; acknowledged: number[] }>;
  kill(): void;
}

function startWriter(directory: string, count: number, name: string, largeEvery: number): Writer {
  const args = [CHILD, "increment", directory, String(count), name, String(largeEvery)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  const firstLine = new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      resolve();
    });
  });
  const done = new Promise<{ code: number | null; acknowledged: number[] }>((resolve) => {
    child.on("close", (code) => {
      const lines = output.split("\n").slice(0, -1);
      resolve({ code, acknowledged: lines.map((line) => Number(line.split(" ")[1])) });
    });
  });
  return { firstLine, done, kill: () => child.kill("SIGKILL") };
}

function filesUnder(directory: string): number {
  return readdirSync(directory, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile())
    .length;
}
