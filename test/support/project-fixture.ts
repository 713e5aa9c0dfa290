/** A project store with helpers to land small files, for tests of the landing protocol. */
import { utf8 } from "../../src/core/base/bytes.ts";
import type { Clock } from "../../src/core/base/clock.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { EMPTY_ROOT, POSITION_ZERO, type ProjectId } from "../../src/core/base/ids.ts";
import { comparePaths, keyToPath, type TreePath } from "../../src/core/base/path.ts";
import { mintLandingId } from "../../src/core/base/random.ts";
import { decodeTreeEntry } from "../../src/core/codec/tree-entry.ts";
import type { LandRequest, LandResult, Operation, PositionRef } from "../../src/core/forge/forge.ts";
import { ProjectStore, type ProjectStoreOptions } from "../../src/core/forge/project-store.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { SeededRandom } from "./seeded-random.ts";

export const PROJECT = "7".repeat(32) as ProjectId;
export const EMPTY_BASE: PositionRef = { position: POSITION_ZERO, root: EMPTY_ROOT };

/** Content of a put; undefined deletes. */
export type Changes = Readonly<Record<string, string | undefined>>;

const random = new SeededRandom(20_260_101);

/** 2026-01-01 at noon, standing still; sleeps end at once. */
export class StillClock implements Clock {
  ms = Date.UTC(2026, 0, 1, 12);

  nowMs(): number {
    return this.ms;
  }

  async sleep(durationMs: number): Promise<void> {
    this.ms += durationMs;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export interface Fixture {
  readonly store: ObjectStore;
  readonly clock: StillClock;
  readonly project: ProjectStore;
}

/** Another process over the same store. */
export function openFixture(
  store: ObjectStore,
  clock: Clock,
  options: Partial<ProjectStoreOptions> = {},
): ProjectStore {
  const fixed = { store, project: PROJECT, clock, random, cacheBytes: 16 << 20, trustWriters: true };
  return new ProjectStore({ ...fixed, ...options });
}

export async function makeFixture(
  options: Partial<ProjectStoreOptions> & { readonly wrap?: (store: ObjectStore) => ObjectStore } = {},
): Promise<Fixture> {
  const clock = new StillClock();
  const memory = new MemoryStore(clock);
  const store = options.wrap?.(memory) ?? memory;
  const project = openFixture(store, clock, options);
  await project.create({ salt: "0102030405060708" });
  return { store, clock, project };
}

export function operationsOf(changes: Changes): Operation[] {
  const operations = Object.entries(changes).map(([name, text]): Operation => {
    const path = name as TreePath;
    if (text === undefined) return { kind: "delete", path };
    const bytes = utf8(text);
    return { kind: "put", path, entry: { kind: "file", size: bytes.length, id: hashObject(bytes) }, hint: 0 };
  });
  return operations.sort((a, b) => comparePaths(a.path, b.path));
}

export function landRequest(
  base: PositionRef,
  changes: Changes,
  more: Partial<LandRequest> = {},
): LandRequest {
  const frames = new FrameBuilder({ rawTarget: 256 << 10 });
  const added = new Set<string>();
  for (const text of Object.values(changes)) {
    if (text === undefined || added.has(text)) continue;
    added.add(text);
    frames.add("blob", hashObject(utf8(text)), utf8(text));
  }
  return {
    landingId: mintLandingId(random),
    base,
    goal: "a change",
    author: "Ada <ada@example.org>",
    agent: "",
    operations: operationsOf(changes),
    decisions: [],
    conversation: [],
    packs: [],
    frames: frames.finish(),
    ...more,
  };
}

/** Lands on the newest position. */
export async function landNow(
  project: ProjectStore,
  changes: Changes,
  more: Partial<LandRequest> = {},
): Promise<Extract<LandResult, { kind: "landed" }>> {
  const result = await project.land(landRequest(await newest(project), changes, more));
  if (result.kind !== "landed") throw new Error(`conflict in ${result.paths.join(", ")}`);
  return result;
}

export async function newest(project: ProjectStore): Promise<PositionRef> {
  const { head } = await project.snapshot();
  return { position: head.position, root: head.root };
}

/** Path → id of the newest tree. */
export async function filesOf(project: ProjectStore, at?: number): Promise<Record<string, string>> {
  const snapshot = await project.snapshot();
  const tree = await snapshot.treeAt((at ?? snapshot.head.position) as typeof snapshot.head.position);
  const files: Record<string, string> = {};
  for await (const page of tree.pages()) {
    for (const { key, value } of page) files[keyToPath(key)] = decodeTreeEntry(value).id;
  }
  return files;
}

/** What `filesOf` gives for these contents. */
export function idsOf(contents: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(contents).map(([name, text]) => [name, hashObject(utf8(text))]));
}
