/** A process of its own for the tests of the local store: `store-child.ts MODE DIRECTORY [ARGUMENTS]`. */
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { isMicError } from "../../src/core/base/errors.ts";
import { systemClock } from "../../src/core/base/system.ts";
import { openLocalStore } from "../../src/core/store/local-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";

const [mode, directory = "", ...rest] = process.argv.slice(2);

function open(create: boolean): Promise<ObjectStore> {
  return openLocalStore(directory, { clock: systemClock, create });
}

async function codeOf(run: () => Promise<unknown>): Promise<string> {
  try {
    await run();
    return "done";
  } catch (error) {
    return isMicError(error) ? error.code : String(error);
  }
}

/** Adds `count` to a counter, each step with a put of its own, and prints each acknowledged step. */
async function increment(count: number, name: string, largeEvery: number): Promise<void> {
  await using store = await open(false);
  for (let done = 0; done < count; ) {
    const head = await store.get("head");
    const value = head === undefined ? 0 : Number(new TextDecoder().decode(head.bytes));
    const size = largeEvery > 0 && value % largeEvery === 0 ? 1_100_000 : 100;
    const bytes = new Uint8Array(size).fill(value);
    const outcome = await store.commit([{ key: `puts/${value}`, bytes }], {
      key: "head",
      expected: head?.etag ?? null,
      bytes: new TextEncoder().encode(String(value + 1)),
    });
    if (outcome.kind !== "committed") continue;
    done++;
    process.stdout.write(`${name} ${value}\n`);
  }
}

/** Writes until the disk is full, both ways, and reports what is left of it. */
async function fill(): Promise<object> {
  await using store = await open(true);
  await store.put("keep", new Uint8Array(1000).fill(1));
  const fillWith = (prefix: string, size: number) =>
    codeOf(async () => {
      for (let i = 0; i < 1000; i++) await store.put(`${prefix}/${i}`, new Uint8Array(size).fill(i));
    });
  const largeError = await fillWith("large", 1_200_000);
  const smallError = await fillWith("small", 50_000);
  const kept = await store.get("keep");
  let readable = kept?.bytes.length === 1000;
  for (const { key, size } of (await store.list("")).objects) {
    readable &&= (await store.get(key))?.bytes.length === size;
  }
  const leftovers = readdirSync(join(directory, "large", "writing")).length;
  const large = (await store.list("large/")).objects.map(({ key }) => key);
  await store.delete(large);
  const outcome = await store.commit([{ key: "after", bytes: new Uint8Array(1000) }], {
    key: "head",
    expected: null,
    bytes: new Uint8Array(10),
  });
  return { smallError, largeError, readable, leftovers, afterFreeing: outcome.kind };
}

async function readOnly(): Promise<object> {
  {
    await using store = await open(true);
    await store.put("k", new Uint8Array(10));
  }
  execFileSync("mount", ["-o", "remount,ro", join(directory, "..")]);
  const create = await codeOf(() =>
    openLocalStore(join(directory, "..", "new"), { clock: systemClock, create: true }),
  );
  return { open: await codeOf(() => open(false)), create };
}

/** One commit of a large and a small object; prints its outcome or the error's code. */
async function commit(): Promise<object> {
  await using store = await open(false);
  let outcome = "";
  const error = await codeOf(async () => {
    const puts = [
      { key: "large", bytes: new Uint8Array(1_200_000) },
      { key: "small", bytes: new Uint8Array(1000) },
    ];
    outcome = (await store.commit(puts, { key: "head", expected: null, bytes: new Uint8Array(10) })).kind;
  });
  return { outcome: outcome === "" ? error : outcome };
}

switch (mode) {
  case "commit":
    console.log(JSON.stringify(await commit()));
    break;
  case "increment":
    await increment(Number(rest[0]), rest[1] ?? "", Number(rest[2] ?? 0));
    break;
  case "fill":
    console.log(JSON.stringify(await fill()));
    break;
  case "read-only":
    console.log(JSON.stringify(await readOnly()));
    break;
  default:
    throw new Error(`unknown mode ${mode}`);
}
