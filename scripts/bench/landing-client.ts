/**
 * Part of the landing benchmark: clients that land one new 1 KiB file after the other, each from the position of
 * its landing before. A process of its own, so that the clients do not share the server's core by accident.
 *
 *   bun scripts/bench/landing-client.ts ORIGIN TOKEN PROJECT CLIENTS SECONDS NAME
 *
 * Says `ready` when all clients are connected, starts at the first line on stdin and prints the result as one JSON
 * line: landings per client and every latency in milliseconds.
 */

import { bytesToHex } from "../../src/core/base/bytes.ts";
import { hashBytes } from "../../src/core/base/hash.ts";
import type { LandingId, ObjectId, ProjectId } from "../../src/core/base/ids.ts";
import { parseTreePath } from "../../src/core/base/path.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge, PositionRef } from "../../src/core/forge/forge.ts";
import type { Frame } from "../../src/core/objects/frame.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";

const [origin, token, project, clientsText, secondsText, name] = process.argv.slice(2);
const CLIENTS = Number(clientsText);
const SECONDS = Number(secondsText);
const FILE_BYTES = 1024;

export interface ClientResult {
  readonly landings: readonly number[];
  readonly latenciesMs: readonly number[];
  readonly conflicts: number;
}

/** Random bytes do not compress. */
function frameOf(bytes: Uint8Array, id: ObjectId): Frame {
  const { length } = bytes;
  const object = { id, kind: "blob", offset: 0, length, sidecarLength: 0 } as const;
  return { compressed: false, rawLength: length, stored: bytes.slice(), objects: [object] };
}

async function client(
  index: number,
  forge: Forge,
  id: ProjectId,
  start: Promise<void>,
): Promise<{ landings: number; latenciesMs: number[] }> {
  let base: PositionRef = await forge.getHead(id);
  await start;
  const latenciesMs: number[] = [];
  const end = performance.now() + SECONDS * 1000;
  const content = new Uint8Array(FILE_BYTES);
  for (let k = 0; performance.now() < end; k++) {
    crypto.getRandomValues(content);
    const object = bytesToHex(hashBytes(content)) as ObjectId;
    const path = parseTreePath(`landed/${name}/${index}/file-${k}.bin`);
    const entry = { kind: "file", size: FILE_BYTES, id: object } as const;
    const began = performance.now();
    const result = await forge.land(id, {
      landingId: bytesToHex(systemRandom.bytes(16)) as LandingId,
      base,
      goal: `${name} ${index} ${k}`,
      author: "Bench <bench@example.org>",
      agent: "",
      operations: [{ kind: "put", path, entry, hint: 0 }],
      decisions: [],
      conversation: [],
      packs: [],
      frames: [frameOf(content, object)],
    });
    latenciesMs.push(performance.now() - began);
    if (result.kind === "conflict") throw new Error(`a conflict at ${path}`);
    base = result;
  }
  return { landings: latenciesMs.length, latenciesMs };
}

const forges: Forge[] = [];
for (let i = 0; i < CLIENTS; i++) {
  forges.push(
    await openRemoteForge(origin!, {
      token: token!,
      clock: systemClock,
      random: systemRandom,
      transport: "grpc",
    }),
  );
}
const info = await forges[0]!.getProject(project!);
let go: () => void = () => undefined;
const start = new Promise<void>((resolve) => {
  go = resolve;
});
const running = forges.map((forge, i) => client(i, forge, info.id, start));
await Promise.all(forges.map((forge) => forge.getHead(info.id)));
console.log("ready");
for await (const _ of console) {
  go();
  break;
}
const results = await Promise.all(running);
console.log(
  JSON.stringify({
    landings: results.map((result) => result.landings),
    latenciesMs: results.flatMap((result) => result.latenciesMs),
  }),
);
process.exit(0);
