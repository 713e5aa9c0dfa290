/** What is stored, counted by what it is: from listings alone, nothing is read. */
import { throwIfAborted } from "../base/clock.ts";
import type { ProjectId } from "../base/ids.ts";
import {
  collectorPrefix,
  headKey,
  metaKey,
  NAMES_PREFIX,
  ORGANIZATIONS_PREFIX,
  PROJECTS_PREFIX,
  projectOfKey,
  projectPrefix,
  quarantinePrefix,
} from "../objects/keys.ts";
import { parseStoredKey, type StoredKind } from "../objects/stored-key.ts";
import type { ListedObject, ObjectStore } from "../store/object-store.ts";
import type { CallOptions } from "./forge.ts";
import type { StorageStat } from "./maintenance.ts";

const KIND_NAMES: Readonly<Record<StoredKind, string>> = {
  pack: "packs",
  blob: "loose objects",
  page: "pages",
  rollup: "rollups",
  part: "rollups",
  session: "sessions",
  staging: "uploads",
  other: "other",
};

export interface ForgeStat extends StorageStat {
  /** By id. */
  readonly projects: readonly (StorageStat & { readonly id: ProjectId })[];
}

/** What a key holds, in a word for people. */
export function kindOfKey(key: string): string {
  const project = projectOfKey(key);
  if (project !== undefined) {
    if (key === headKey(project)) return "heads";
    if (key === metaKey(project)) return "meta";
    if (key.startsWith(collectorPrefix(project))) return "collector";
    if (key.startsWith(quarantinePrefix(project))) return "quarantine";
    return KIND_NAMES[parseStoredKey(project, key).kind];
  }
  if (key.startsWith(NAMES_PREFIX)) return "names";
  return key.startsWith(ORGANIZATIONS_PREFIX) ? "organizations" : "other";
}

/** Projects or names are there. Errors: those of a list. */
export async function holdsForge(store: ObjectStore, options: CallOptions = {}): Promise<boolean> {
  for (const prefix of [NAMES_PREFIX, PROJECTS_PREFIX]) {
    for await (const objects of listAll(store, prefix, options)) if (objects.length > 0) return true;
  }
  return false;
}

export async function statProject(
  store: ObjectStore,
  project: ProjectId,
  options: CallOptions = {},
): Promise<StorageStat> {
  const tally = new Tally();
  for await (const objects of listAll(store, projectPrefix(project), options)) {
    for (const object of objects) tally.add(object);
  }
  return tally.report();
}

/** Everything in the store, also what is no part of a forge. */
export async function statForge(store: ObjectStore, options: CallOptions = {}): Promise<ForgeStat> {
  const all = new Tally();
  const projects = new Map<ProjectId, Tally>();
  for await (const objects of listAll(store, "", options)) {
    for (const object of objects) {
      all.add(object);
      const id = object.key.startsWith(PROJECTS_PREFIX) ? projectOfKey(object.key) : undefined;
      if (id === undefined) continue;
      let tally = projects.get(id);
      if (tally === undefined) {
        tally = new Tally();
        projects.set(id, tally);
      }
      tally.add(object);
    }
  }
  return {
    ...all.report(),
    projects: [...projects].map(([id, tally]) => ({ id, ...tally.report() })),
  };
}

export async function* listAll(
  store: ObjectStore,
  prefix: string,
  { signal }: CallOptions = {},
): AsyncIterable<readonly ListedObject[]> {
  const options = signal === undefined ? {} : { signal };
  for (let after: string | undefined; ; ) {
    throwIfAborted(signal);
    const page = await store.list(prefix, after === undefined ? options : { after, ...options });
    yield page.objects;
    if (page.next === undefined) return;
    after = page.next;
  }
}

class Tally {
  readonly #kinds = new Map<string, { objects: number; bytes: number }>();

  add({ key, size }: ListedObject): void {
    const kind = kindOfKey(key);
    const counted = this.#kinds.get(kind) ?? { objects: 0, bytes: 0 };
    counted.objects++;
    counted.bytes += size;
    this.#kinds.set(kind, counted);
  }

  /** The largest kinds first. */
  report(): StorageStat {
    const byKind = [...this.#kinds].map(([kind, counted]) => ({ kind, ...counted }));
    byKind.sort((a, b) => b.bytes - a.bytes || (a.kind < b.kind ? -1 : 1));
    return {
      objects: byKind.reduce((sum, { objects }) => sum + objects, 0),
      bytes: byKind.reduce((sum, { bytes }) => sum + bytes, 0),
      byKind,
    };
  }
}
