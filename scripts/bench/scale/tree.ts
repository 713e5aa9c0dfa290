/**
 * How the time to change one file grows with the number of files: real landings into an embedded forge, one file
 * each, at random paths, with the caches that a client has. What is measured is the whole landing: look-up, tree
 * edit, pack, transaction.
 */
import { bytesToHex } from "../../../src/core/base/bytes.ts";
import { hashBytes } from "../../../src/core/base/hash.ts";
import type { LandingId, ObjectId, ProjectId } from "../../../src/core/base/ids.ts";
import { parseTreePath, type TreePath } from "../../../src/core/base/path.ts";
import { mintProjectId } from "../../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../../src/core/base/system.ts";
import type { Forge, Operation, PositionRef } from "../../../src/core/forge/forge.ts";
import { ProjectStore } from "../../../src/core/forge/project-store.ts";
import { ForgeService } from "../../../src/core/forge/service.ts";
import type { Frame } from "../../../src/core/objects/frame.ts";
import { CountingStore } from "../../../src/core/store/counting-store.ts";
import { openLocalStore } from "../../../src/core/store/local-store.ts";
import type { ObjectStore } from "../../../src/core/store/object-store.ts";
import { generator, percentiles, scratch } from "../harness.ts";

const FILES_PER_LANDING = 100_000;
const FILES_PER_DIRECTORY = 100;
const WARM_EDITS = 50;
const EDITS = 300;

export interface EditCosts {
  readonly files: number;
  readonly buildMs: number;
  /** Levels of the tree, from root to leaf. */
  readonly levels: number;
  /** Milliseconds of one landing. */
  readonly p50: number;
  readonly p99: number;
  /** Bytes that one landing stores, head included. */
  readonly bytes: number;
}

/** Paths sort as their numbers do. */
export function filePath(number: number): TreePath {
  const directory = Math.floor(number / FILES_PER_DIRECTORY);
  const group = String(Math.floor(directory / 1000)).padStart(4, "0");
  const name = String(number % FILES_PER_DIRECTORY).padStart(2, "0");
  return parseTreePath(
    `packages/group-${group}/module-${String(directory % 1000).padStart(3, "0")}/source-${name}.ts`,
  );
}

export function blobOf(text: string): {
  readonly id: ObjectId;
  readonly frame: Frame;
  readonly size: number;
} {
  const stored = new TextEncoder().encode(text);
  const id = bytesToHex(hashBytes(stored)) as ObjectId;
  const object = { id, kind: "blob", offset: 0, length: stored.length, sidecarLength: 0 } as const;
  return {
    id,
    size: stored.length,
    frame: { compressed: false, rawLength: stored.length, stored, objects: [object] },
  };
}

export async function landOperations(
  forge: Forge,
  project: Parameters<Forge["land"]>[0],
  base: PositionRef,
  operations: readonly Operation[],
  frames: readonly Frame[],
  goal: string,
): Promise<PositionRef> {
  const result = await forge.land(project, {
    landingId: bytesToHex(systemRandom.bytes(16)) as LandingId,
    base,
    goal,
    author: "Bench <bench@example.org>",
    agent: "",
    operations,
    decisions: [],
    conversation: [],
    packs: [],
    frames,
  });
  if (result.kind === "conflict") throw new Error(`a conflict at ${result.paths[0]}`);
  return result;
}

/** A tree of so many files, then edits of single ones. */
export async function measureEdits(files: number): Promise<EditCosts> {
  using directory = scratch("scale-tree");
  const address = `${directory.path}/forge`;
  const ports = { clock: systemClock, random: systemRandom };
  const store = new CountingStore(await openLocalStore(address, { clock: systemClock, create: true }));
  await using forge = new ForgeService({ store, address, ...ports, trustWriters: true });
  const { id: project } = await forge.createProject({
    id: mintProjectId(systemRandom),
    name: "bench/scale",
  });
  let base: PositionRef = await forge.getHead(project);
  const started = performance.now();
  const first = blobOf("export const value = 1;\n");
  for (let from = 0; from < files; from += FILES_PER_LANDING) {
    const count = Math.min(FILES_PER_LANDING, files - from);
    const operations = Array.from({ length: count }, (_, i): Operation => {
      const entry = { kind: "file", size: first.size, id: first.id } as const;
      return { kind: "put", path: filePath(from + i), entry, hint: from === 0 ? 0 : 1 };
    });
    base = await landOperations(forge, project, base, operations, from === 0 ? [first.frame] : [], "files");
  }
  const buildMs = performance.now() - started;
  const random = generator(files);
  const times: number[] = [];
  for (let k = -WARM_EDITS; k < EDITS; k++) {
    if (k === 0) store.reset();
    const { id, size, frame } = blobOf(`export const value = ${k};\n`);
    const path = filePath(Math.floor(random() * files));
    const put: Operation = { kind: "put", path, entry: { kind: "file", size, id }, hint: 0 };
    const began = performance.now();
    base = await landOperations(forge, project, base, [put], [frame], "one file");
    if (k >= 0) times.push(performance.now() - began);
  }
  const bytes = store.counts.bytesWritten / EDITS;
  const { p50, p99 } = percentiles(times);
  return { files, buildMs, levels: await levelsOf(store, project), p50, p99, bytes };
}

async function levelsOf(store: ObjectStore, project: ProjectId): Promise<number> {
  const ports = { clock: systemClock, random: systemRandom };
  const opened = new ProjectStore({ store, project, ...ports, cacheBytes: 1 << 20, trustWriters: true });
  return (await (await opened.snapshot()).headTree().height()) + 1;
}
