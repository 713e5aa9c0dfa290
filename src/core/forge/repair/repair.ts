/**
 * Repairs what a check finds damaged: builds again what follows from the rest, replaces packs by what can be found of
 * their objects elsewhere, and moves aside what is damaged and named by nothing, once no head can newly name it. What is
 * named and stays damaged stays where it is, is reported with the positions and paths that it affects, and is copied
 * aside: whatever is put in its place later, its bytes are not lost.
 */
import { equalBytes } from "../../base/bytes.ts";
import { isMicError } from "../../base/errors.ts";
import { hashObject } from "../../base/hash.ts";
import type { LandingId, ObjectId, Position, ProjectId } from "../../base/ids.ts";
import type { RollupRef } from "../../codec/head.ts";
import { decodeLooseObject } from "../../codec/loose-object.ts";
import { packIdOf } from "../../codec/pack.ts";
import type { ManifestPack } from "../../codec/pack-entry.ts";
import type { PageRef } from "../../codec/page-ref.ts";
import { NAMES_PREFIX, packKey, pageKey, projectPrefix, quarantinePrefix } from "../../objects/keys.ts";
import { parseStoredKey } from "../../objects/stored-key.ts";
import { verifyPack } from "../../objects/verify-pack.ts";
import { isCollectable } from "../collect/collect.ts";
import type { ForgeContext } from "../context.ts";
import type { CallOptions, Progress } from "../forge.ts";
import type { Damage, LostName, LostObject } from "../fsck/damage.ts";
import { type Examined, examine } from "../fsck/fsck.ts";
import { listPacks } from "../fsck/lists.ts";
import type { ObjectTable } from "../fsck/object-table.ts";
import type { Snapshot } from "../log/snapshot.ts";
import type { RepairReport } from "../maintenance.ts";
import type { ProjectStore } from "../project-store.ts";
import { rebuildRollup } from "../rollup/rebuild.ts";
import type { CopySource } from "./copy-source.ts";
import { FoundObjects } from "./found-objects.ts";
import { addPackBeside, changeLists, type Mending, mendPack, ownRecords } from "./mend-pack.ts";
import { rebuildPage } from "./rebuild-page.ts";
import { findRecordChain } from "./record-chain.ts";
import { restoreName } from "./restore-name.ts";
import { idsOfPack } from "./salvage.ts";
import { findWholeCopies, search } from "./search.ts";

/** Checks that are followed by a repair. */
const ROUNDS_MAX = 8;

export interface RepairOptions extends CallOptions {
  readonly onProgress?: (progress: Progress) => void;
  /** Where lost objects may be found. */
  readonly copies?: readonly CopySource[];
}

/** Errors: those of a check, and of the head's swap. Interrupted anywhere it leaves what another run goes on from. */
export async function repair(
  context: ForgeContext,
  project: ProjectId,
  options: RepairOptions = {},
): Promise<RepairReport> {
  const first = await examine(context, project, options);
  const run = new Repair(context, context.project(project), options);
  let last = first;
  // What is found again may lead to more that is lost.
  for (let round = 0; round < ROUNDS_MAX && !isSound(last.damage); round++) {
    if (!(await run.round(last))) break;
    last = await examine(context, project, options);
  }
  await run.keepDamaged(last.damage);
  const { rebuilt, quarantined } = run;
  return { before: first.report, rebuilt, quarantined, left: last.damage.unnamed, after: last.report };
}

/** As far as a repair can do anything. */
function isSound({ names, packs, pages, rollups, unnamed, lost }: Damage): boolean {
  return [names, packs, pages, rollups, unnamed, lost].every((list) => list.length === 0);
}

class Repair {
  readonly #context: ForgeContext;
  readonly #project: ProjectStore;
  readonly #options: RepairOptions;
  readonly quarantined: string[] = [];
  rebuilt = 0;
  #moved = 0;

  constructor(context: ForgeContext, project: ProjectStore, options: RepairOptions) {
    this.#context = context;
    this.#project = project;
    this.#options = options;
  }

  /** Whether anything was changed. */
  async round({ damage, table }: Examined): Promise<boolean> {
    const before = this.rebuilt + this.#moved;
    await this.#restoreNames(damage.names);
    await this.#rebuildPages(damage.pages);
    await this.#mendPacks(damage, table);
    await this.#rebuildRollups(damage.rollups);
    await this.#quarantine(damage.unnamed);
    return this.rebuilt + this.#moved > before;
  }

  /** Copies aside what is damaged and stays where it is. */
  async keepDamaged({ packs, pages, names, kept }: Damage): Promise<void> {
    const { project } = this.#project;
    const keys = [
      ...packs.map(({ epoch, pack }) => packKey(project, epoch, pack)),
      ...pages.map(({ epoch, hash }) => pageKey(project, epoch, hash)),
      ...names.map(({ name }) => NAMES_PREFIX + name),
      ...kept,
    ];
    for (const key of new Set(keys)) await this.#copyAside(key);
  }

  async #restoreNames(names: readonly LostName[]): Promise<void> {
    const { project } = this.#project;
    const { signal } = this.#options;
    const options = signal === undefined ? {} : { signal };
    const keepAside = (key: string): Promise<void> => this.#copyAside(key);
    for (const name of names) {
      if (await restoreName(this.#context, project, name, keepAside, options)) this.rebuilt++;
    }
  }

  async #mendPacks({ packs: entries, lost }: Damage, sound: ObjectTable): Promise<void> {
    const damaged = await this.#notRestored(entries);
    if (damaged.length === 0 && lost.length === 0) return;
    const { signal, copies = [] } = this.#options;
    const { project } = this.#project;
    const snapshot = await this.#project.snapshot(signal === undefined ? {} : { signal });
    const own = new Map<ManifestPack, Mending["records"]>();
    const wanted = new Set(lost.map(({ id }) => id));
    for (const entry of damaged) {
      const stored = await this.#read(entry);
      if (stored === undefined) continue;
      for (const id of idsOfPack(stored) ?? []) wanted.add(id);
      if (entry.hasRecords) own.set(entry, ownRecords(stored, entry));
    }
    const withoutRecords = damaged.filter((entry) => entry.hasRecords && own.get(entry) === undefined);
    const found = new FoundObjects(wanted, withoutRecords);
    const { packs } = await listPacks(this.#context, snapshot);
    const names = new Set(damaged.map(({ epoch, pack }) => `${epoch}/${pack}`));
    const named = packs.filter(({ epoch, pack }) => !names.has(`${epoch}/${pack}`));
    await search({ context: this.#context, project, named, copies, signal }, found);
    await this.#chain(snapshot, withoutRecords, found, own);
    const replaced: string[] = [];
    for (const entry of damaged) {
      const needed = lost.filter((object) => isIn(object, entry)).map(({ id }) => id);
      const records = own.get(entry);
      const mending = { entry, stored: await this.#read(entry), needed, records };
      if (await this.#mend(mending, found, sound, named))
        replaced.push(packKey(project, entry.epoch, entry.pack));
    }
    const elsewhere = lost.filter((object) => !damaged.some((entry) => isIn(object, entry)));
    await this.#addBeside(named, elsewhere, found);
    await this.#quarantine(replaced);
  }

  /** Packs that are damaged after their entries were corrected, and whole copies of them put in their place. */
  async #notRestored(entries: readonly ManifestPack[]): Promise<ManifestPack[]> {
    const damaged: ManifestPack[] = [];
    for (const entry of entries) if (!(await this.#correctEntry(entry))) damaged.push(entry);
    if (damaged.length === 0) return damaged;
    const { project } = this.#project;
    const { signal } = this.#options;
    const ids = new Set(damaged.map(({ pack }) => pack));
    const copies = await findWholeCopies({ context: this.#context, project, signal }, ids);
    const left: ManifestPack[] = [];
    for (const entry of damaged) {
      const key = packKey(project, entry.epoch, entry.pack);
      const copy = copies.get(entry.pack);
      const bytes =
        copy === undefined
          ? await this.#cachedPack(entry, key)
          : (await this.#context.store.get(copy, { fresh: true }))?.bytes;
      if (bytes === undefined) {
        left.push(entry);
        continue;
      }
      await this.#moveAside(key);
      // No collector takes it: the head names it.
      await this.#context.store.put(key, bytes);
      this.rebuilt++;
    }
    return left;
  }

  /** The pack as a cache in front of the store may still have it. */
  async #cachedPack({ pack }: ManifestPack, key: string): Promise<Uint8Array | undefined> {
    const cached = await this.#context.store.get(key);
    return cached !== undefined && packIdOf(cached.bytes) === pack ? cached.bytes : undefined;
  }

  /** Whether it is listed no more, because other packs hold what it held. */
  async #mend(
    mending: Mending,
    found: FoundObjects,
    sound: ObjectTable,
    named: readonly ManifestPack[],
  ): Promise<boolean> {
    const { entry, needed } = mending;
    const aside = (key: string): Promise<void> => this.#moveAside(key);
    const outcome = await mendPack(this.#context, this.#project, mending, found, sound, aside);
    if (outcome === "obsolete") return false;
    if (outcome !== "nothing") {
      this.rebuilt++;
      return outcome === "replaced";
    }
    // Once a pack beside it holds all that was found, and the history lacks nothing there any more, it can go.
    const beside = named.find(
      ({ first, last, hasRecords }) =>
        first === entry.first && last === entry.last && (hasRecords || !entry.hasRecords),
    );
    if (needed.length > 0 || beside === undefined) return false;
    const replacement = { removed: [entry, beside], added: [beside] };
    const change = changeLists(this.#context, this.#project.project, replacement, undefined);
    if ((await this.#project.attach(change)) === "obsolete") return false;
    this.rebuilt++;
    return true;
  }

  /** Objects that are lost though the packs of their position are sound. */
  async #addBeside(
    named: readonly ManifestPack[],
    lost: readonly LostObject[],
    found: FoundObjects,
  ): Promise<void> {
    const done = new Set<ObjectId>();
    for (const entry of lost.length === 0 ? [] : named) {
      const ids = lost.filter((object) => isIn(object, entry) && !done.has(object.id)).map(({ id }) => id);
      if (ids.length === 0) continue;
      for (const id of ids) done.add(id);
      if (await addPackBeside(this.#context, this.#project, entry, ids, found)) this.rebuilt++;
    }
  }

  /** A pack that is sound, and whose entry is not. */
  async #correctEntry(entry: ManifestPack): Promise<boolean> {
    const stored = await this.#read(entry);
    if (stored === undefined || packIdOf(stored) !== entry.pack) return false;
    try {
      const { indexLength } = verifyPack(stored, { trusted: false });
      const corrected = { ...entry, size: stored.length, indexLength };
      const replacement = { removed: [entry], added: [corrected] };
      const change = changeLists(this.#context, this.#project.project, replacement, undefined);
      if ((await this.#project.attach(change)) === "applied") this.rebuilt++;
      return true;
    } catch (error) {
      if (!isMicError(error, "corrupt")) throw error;
      return false;
    }
  }

  async #read({ epoch, pack }: ManifestPack): Promise<Uint8Array | undefined> {
    const key = packKey(this.#project.project, epoch, pack);
    return (await this.#context.store.get(key, { fresh: true }))?.bytes;
  }

  /** Records from elsewhere that fit between those around them, for packs that follow each other at once. */
  async #chain(
    snapshot: Snapshot,
    entries: readonly ManifestPack[],
    found: FoundObjects,
    records: Map<ManifestPack, Mending["records"]>,
  ): Promise<void> {
    const { head } = snapshot;
    const ringFirst = head.position - head.ring.length + 1;
    for (const run of consecutive(entries)) {
      const first = run[0]!.first;
      const last = run.at(-1)!.last;
      const after = (last + 1) as Position;
      const chain = findRecordChain(found, {
        first,
        last,
        rootBefore: await rootOf(() => snapshot.rootAt((first - 1) as Position)),
        rootAfter:
          last >= head.position
            ? head.root
            : await rootOf(async () => (await snapshot.record(after)).parentRoot),
        idAt: (position): LandingId | undefined => head.ring[position - ringFirst],
      });
      if (chain === undefined) continue;
      for (const entry of run) records.set(entry, chain.slice(entry.first - first, entry.last - first + 1));
    }
  }

  async #rebuildPages(refs: readonly PageRef[]): Promise<void> {
    if (refs.length === 0) return;
    const { project } = this.#project;
    const { signal } = this.#options;
    const { packs: named } = await listPacks(this.#context, await this.#project.snapshot());
    for (const ref of refs) {
      const places = { context: this.#context, project, named, copies: [], signal };
      const bytes = await rebuildPage(places, ref);
      if (bytes === undefined) continue;
      const key = pageKey(project, ref.epoch, ref.hash);
      await this.#moveAside(key);
      // No collector takes it: the head leads to it.
      await this.#context.store.put(key, bytes);
      this.rebuilt++;
    }
  }

  async #rebuildRollups(rollups: readonly RollupRef[]): Promise<void> {
    const { signal } = this.#options;
    for (const ref of rollups) {
      try {
        const outcome = await rebuildRollup(
          this.#context,
          this.#project,
          ref,
          signal === undefined ? {} : { signal },
        );
        if (outcome === "rebuilt") this.rebuilt++;
      } catch (error) {
        // The log that it is built from is damaged too, which the report says.
        if (!isMicError(error) || (error.code !== "corrupt" && error.code !== "not-found")) throw error;
      }
    }
  }

  /**
   * Moves aside what the newest head does not lead to, and no later one can. Of the last days copies are kept, and no
   * more is done: somebody may store the same object again, soundly, and a landing name it, before it were deleted.
   */
  async #quarantine(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    const { project } = this.#project;
    const storeMs = await this.#context.store.nowMs();
    const { packs, pages, damagedPages } = await listPacks(this.#context, await this.#project.snapshot());
    const named = new Set([
      ...packs.map(({ epoch, pack }) => packKey(project, epoch, pack)),
      ...pages.map(({ epoch, hash }) => pageKey(project, epoch, hash)),
    ]);
    for (const key of keys) {
      if (named.has(key)) continue;
      const { kind, days } = parseStoredKey(project, key);
      const isOld = kind === "other" || isCollectable(days, storeMs);
      if (isOld && damagedPages.length === 0) await this.#moveAside(key);
      else await this.#copyAside(key);
    }
  }

  /** Copies before it deletes, and deletes what it copied. What is sound by now stays. */
  async #moveAside(key: string): Promise<void> {
    const { store } = this.#context;
    const stored = await store.get(key, { fresh: true });
    if (stored === undefined || isAsNamed(this.#project.project, key, stored.bytes)) return;
    if (!(await this.#keepAside(key, stored.bytes))) return;
    const again = await store.get(key, { fresh: true });
    if (again === undefined || !equalBytes(again.bytes, stored.bytes)) return;
    await store.delete([key]);
    this.#moved++;
  }

  async #copyAside(key: string): Promise<void> {
    const stored = await this.#context.store.get(key, { fresh: true });
    if (stored !== undefined) await this.#keepAside(key, stored.bytes);
  }

  /** Whether these bytes are aside: the same ones once, others of the same key each under a name of their own. */
  async #keepAside(key: string, bytes: Uint8Array): Promise<boolean> {
    const { store } = this.#context;
    const { project } = this.#project;
    const prefix = projectPrefix(project);
    const below = key.startsWith(prefix) ? key.slice(prefix.length) : key;
    const plain = quarantinePrefix(project) + below;
    for (const aside of [plain, `${plain}-${hashObject(bytes)}`]) {
      const there = await store.get(aside, { fresh: true });
      if (there !== undefined && !equalBytes(there.bytes, bytes)) continue;
      if (there === undefined) {
        await store.put(aside, bytes);
        this.quarantined.push(aside);
      }
      return true;
    }
    return false;
  }
}

/** Whether an object that is named by its content is what its name says. */
function isAsNamed(project: ProjectId, key: string, bytes: Uint8Array): boolean {
  const { kind, id } = parseStoredKey(project, key);
  if (kind !== "blob") return hashObject(bytes) === id;
  try {
    decodeLooseObject(bytes, id as ObjectId);
    return true;
  } catch (error) {
    if (!isMicError(error, "corrupt") && !isMicError(error, "unsupported")) throw error;
    return false;
  }
}

/** Runs of packs whose positions follow each other. */
function consecutive(entries: readonly ManifestPack[]): ManifestPack[][] {
  const runs: ManifestPack[][] = [];
  for (const entry of [...entries].sort((a, b) => a.first - b.first)) {
    const run = runs.at(-1);
    if (run !== undefined && run.at(-1)!.last + 1 === entry.first) run.push(entry);
    else runs.push([entry]);
  }
  return runs;
}

function isIn({ hint, position }: LostObject, { first, last }: ManifestPack): boolean {
  const at = hint === 0 ? position : hint;
  return first <= at && at <= last;
}

/** `undefined` where the log is damaged. */
async function rootOf(read: () => Promise<ObjectId>): Promise<ObjectId | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isMicError(error, "corrupt") || isMicError(error, "not-found")) return undefined;
    throw error;
  }
}
