import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { bytesToHex, hexToBytes, utf8 } from "../../src/core/base/bytes.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { openCachedStore } from "../../src/core/store/cache/cached-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";

/** The name and the bytes up to the end of the entries, for the object `packs/a` with the text "hello". */
const NAME = "v1/8/8465063361873def87222dd3cb451d48";
const FRONT = "4d4943430100000000000000000000008465063361873def87222dd3cb451d48050000006eea100ed201bf7dd966bc16";

test("a cached segment has the bytes of version 1, and they are read", async () => {
  const directory = mkdtempSync(join(tmpdir(), "mic-cache-"));
  try {
    const open = (store: MemoryStore) =>
      openCachedStore(store, {
        scopeOf: () => "everywhere",
        identity: "golden",
        clock: systemClock,
        disk: { directory, bytesMax: 1 << 24, clock: systemClock, random: systemRandom, warn: expect.fail },
      });
    const store = new MemoryStore(systemClock);
    await store.put("packs/a", utf8("hello"));
    await using writer = open(store);
    await writer.get("packs/a");
    await writer[Symbol.asyncDispose]();
    const [name] = readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((each) => each.length > 30);
    const bytes = readFileSync(join(directory, name!));
    expect([name, bytesToHex(bytes, 0, 48)]).toEqual([NAME, FRONT]);
    expect(bytes.subarray(4096).toString()).toBe("hello");
    expect(bytes.subarray(48, 4096).every((byte) => byte === 0)).toBe(true);

    const golden = Buffer.alloc(4101);
    golden.set(hexToBytes(FRONT));
    golden.write("hello", 4096);
    writeFileSync(join(directory, NAME), golden);
    await using reader = open(new MemoryStore(systemClock));
    expect((await reader.get("packs/a"))?.bytes).toEqual(utf8("hello"));
  } finally {
    rmSync(directory, { recursive: true });
  }
});
