/** The process that scripts/show-syncs.sh traces: marks on stdout stand between the steps. */
import { writeSync } from "node:fs";
import { systemClock } from "../src/core/base/system.ts";
import { openLocalStore } from "../src/core/store/local-store.ts";
import type { ETag, ObjectStore } from "../src/core/store/object-store.ts";

const directory = process.argv[2] ?? "";

function mark(name: string): void {
  writeSync(1, `MARK ${name}\n`);
}

async function commit(store: ObjectStore, expected: ETag | null, name: string, size: number): Promise<ETag> {
  const puts = [{ key: `packs/${name}`, bytes: new Uint8Array(size).fill(1) }];
  const outcome = await store.commit(puts, { key: "head", expected, bytes: new Uint8Array(100).fill(size) });
  if (outcome.kind !== "committed") throw new Error(outcome.kind);
  return outcome.etag;
}

mark("create");
await using store = await openLocalStore(directory, { clock: systemClock, create: true });
mark("small");
let etag = await commit(store, null, "small", 5000);
mark("again");
etag = await commit(store, etag, "again", 5000);
mark("large");
etag = await commit(store, etag, "large", 3 << 20);
mark("end");
