/** A forge that says something else than the one behind it, and lists of files that no forge would hold. */
import { hexToBytes, utf8 } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import type { ObjectId, Position } from "../../src/core/base/ids.ts";
import type { TreePath } from "../../src/core/base/path.ts";
import { encodeTreeEntry } from "../../src/core/codec/tree-entry.ts";
import type { FetchItem, Forge, HeadInfo, LocatedEntry, TreeChange } from "../../src/core/forge/forge.ts";
import type { Frame } from "../../src/core/objects/frame.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import { buildTree } from "../../src/core/prolly/build.ts";
import type { HostileEntry } from "./hostile-landing.ts";

/** Everything that `lies` does not have is `real`'s. */
export function lyingForge(real: Forge, lies: Partial<Forge>): Forge {
  return new Proxy(real, {
    get(target, key) {
      const from = Reflect.has(lies, key) ? lies : target;
      const value: unknown = Reflect.get(from, key);
      return typeof value === "function" ? value.bind(from) : value;
    },
  });
}

export interface HostileList {
  readonly entries: readonly LocatedEntry[];
  readonly frames: readonly Frame[];
}

const keyOf = (path: string): Buffer => Buffer.from(path.replaceAll("/", "\0"));

/** Sorted as a tree would be, and with all of its content. */
export function hostileList(files: readonly HostileEntry[]): HostileList {
  const frames = new FrameBuilder({ rawTarget: 256 << 10 });
  const added = new Set<ObjectId>();
  const entries = files.map(({ path, content, kind = "file" }): LocatedEntry => {
    const bytes = utf8(content);
    const id = hashObject(bytes);
    if (!added.has(id)) frames.add("blob", id, bytes);
    added.add(id);
    return { path: path as TreePath, entry: { kind, size: bytes.length, id }, hint: 1 };
  });
  entries.sort((a, b) => Buffer.compare(keyOf(a.path), keyOf(b.path)));
  return { entries, frames: frames.finish() };
}

/** What a tree of exactly these would have for its root. */
export async function rootOf(entries: readonly LocatedEntry[], salt: string): Promise<ObjectId> {
  const leaves = entries.map(({ path, entry, hint }) => ({
    key: keyOf(path).subarray(0, 4096),
    value: encodeTreeEntry(entry),
    hint,
  }));
  const load = (): never => {
    throw new Error("not stored");
  };
  const options = { position: 1, emit: () => undefined };
  return (await buildTree(leaves, { salt: hexToBytes(salt), nodes: { load } }, options)).root;
}

/** Says that the position after the real head holds `files` and nothing else, consistently. */
export function forgeWithTree(real: Forge, files: readonly HostileEntry[]): Forge {
  const list = hostileList(files);
  const isNew = (head: HeadInfo, position: number): boolean => position > head.position;
  const headOf = (id: Parameters<Forge["getHead"]>[0]): Promise<HeadInfo> => real.getHead(id);
  async function changesOf(
    id: Parameters<Forge["getHead"]>[0],
    from: Position,
  ): Promise<readonly TreeChange[]> {
    const known = new Map<string, LocatedEntry>();
    for await (const page of real.listEntries(id, from, undefined)) {
      for (const entry of page) known.set(entry.path, entry);
    }
    const names = new Set([...known.keys(), ...list.entries.map(({ path }) => path)]);
    const changes = [...names].map((name): TreeChange => {
      const after = list.entries.find(({ path }) => path === name);
      return { path: name as TreePath, before: known.get(name), after };
    });
    changes.sort((a, b) => Buffer.compare(keyOf(a.path), keyOf(b.path)));
    return changes.filter(({ before, after }) => before?.entry.id !== after?.entry.id);
  }
  const lies: Partial<Forge> = {
    async getHead(id) {
      const head = await headOf(id);
      const root = await rootOf(list.entries, head.salt);
      return { ...head, position: (head.position + 1) as Position, root };
    },
    async getPosition(id, position, options) {
      const head = await headOf(id);
      if (!isNew(head, position)) return real.getPosition(id, position, options);
      return { position, root: await rootOf(list.entries, head.salt) };
    },
    async *fetch(id, request, options): AsyncGenerator<FetchItem> {
      if (!isNew(await headOf(id), request.to)) {
        yield* real.fetch(id, request, options);
        return;
      }
      const changes = await changesOf(id, request.from);
      yield { kind: "changes", changes };
      yield { kind: "content", objects: changes.filter(({ after }) => after !== undefined).length, bytes: 1 };
      for (const frame of list.frames) yield { kind: "frame", frame };
    },
    async *diff(id, request, options) {
      if (isNew(await headOf(id), request.to)) yield await changesOf(id, request.from);
      else yield* real.diff(id, request, options);
    },
    async *readObjects() {
      yield* list.frames;
    },
  };
  return lyingForge(real, lies);
}
