/** Every pack and page of a project, by hash, and which objects they hold. */
import { releaseBytes } from "../../base/bytes.ts";
import { corrupt, MicError } from "../../base/errors.ts";
import { collectAfter, GarbagePace } from "../../base/garbage.ts";
import { verifyObject } from "../../base/hash.ts";
import type { ObjectId } from "../../base/ids.ts";
import type { ManifestPack } from "../../codec/pack-entry.ts";
import { packKey } from "../../objects/keys.ts";
import { verifyPack } from "../../objects/verify-pack.ts";
import type { ForgeContext } from "../context.ts";
import type { Progress } from "../forge.ts";
import type { Snapshot } from "../log/snapshot.ts";
import type { Damage } from "./damage.ts";
import type { Findings } from "./findings.ts";
import { type ListedPacks, listPacks } from "./lists.ts";
import { ObjectTable } from "./object-table.ts";

/** Times that packs which are gone are looked for in a newer head. */
const RELOOKS_MAX = 8;
/** What checking a pack leaves behind, in items of garbage.ts. */
const ITEMS_PER_PACK = 256;
const BYTES_PER_ITEM = 1024;

export interface CheckedPacks {
  readonly table: ObjectTable;
  readonly lists: ListedPacks;
  readonly packs: number;
  /** Of the packs. */
  readonly bytes: number;
}

/** Packs that are merged and collected meanwhile are no loss: a newer head leads to what took their place. */
export async function checkPacks(
  context: ForgeContext,
  snapshot: Snapshot,
  refresh: () => Promise<Snapshot>,
  findings: Findings,
  damage: Damage,
  onProgress: (progress: Progress) => void,
): Promise<CheckedPacks> {
  const table = new ObjectTable();
  const checked = new Set<string>();
  const pace = new GarbagePace();
  let done = 0;
  for (let current = snapshot, look = 0; ; look++) {
    const lists = await listPacks(context, current);
    const total = lists.packs.reduce((sum, entry) => sum + entry.size, 0);
    const absent: ManifestPack[] = [];
    for (const entry of lists.packs) {
      const name = nameOf(entry);
      if (checked.has(name)) continue;
      const key = packKey(current.project, entry.epoch, entry.pack);
      const found = await findings.attempt({ object: key, position: entry.first }, async () => {
        const isThere = await checkPack(context, key, entry, table);
        if (!isThere) absent.push(entry);
        return true;
      });
      if (found === undefined) damage.packs.push(entry);
      if (absent.at(-1) !== entry) checked.add(name);
      pace.passed(ITEMS_PER_PACK + Math.floor(entry.size / BYTES_PER_ITEM));
      done += entry.size;
      onProgress({ done: Math.min(done, total), total, unit: "bytes" });
    }
    if (absent.length > 0 || lists.damagedPages.length > 0) {
      const newer = look < RELOOKS_MAX ? await refresh() : current;
      if (newer.etag !== current.etag) {
        current = newer;
        continue;
      }
    }
    report(current, lists, absent, findings, damage);
    return { table, lists, packs: lists.packs.length, bytes: total };
  }
}

function report(
  { project }: Snapshot,
  lists: ListedPacks,
  absent: readonly ManifestPack[],
  findings: Findings,
  damage: Damage,
): void {
  for (const entry of absent) {
    const object = packKey(project, entry.epoch, entry.pack);
    findings.error("not-found", `the pack ${entry.pack} is missing`, { object, position: entry.first });
    damage.packs.push(entry);
  }
  for (const { ref, key, error } of lists.damagedPages) {
    findings.error(error.code, error.message, { object: key, position: ref.first });
    damage.pages.push(ref);
  }
}

/** A pack may be listed twice, for landings that both brought it. */
function nameOf({ epoch, pack, first, last }: ManifestPack): string {
  return `${epoch}/${pack}/${first}-${last}`;
}

/** False when it is not there. Errors: `corrupt`. */
async function checkPack(
  context: ForgeContext,
  key: string,
  entry: ManifestPack,
  table: ObjectTable,
): Promise<boolean> {
  const stored = await context.store.get(key, { fresh: true });
  if (stored === undefined) return false;
  const { bytes } = stored;
  verifyObject(entry.pack as string as ObjectId, bytes, key);
  const { index, indexLength } = verifyPack(bytes, { trusted: false });
  if (bytes.length !== entry.size || indexLength !== entry.indexLength) {
    const message = `the entry of pack ${entry.pack} has ${entry.size} bytes with an index of ${entry.indexLength}`;
    throw new MicError("corrupt", `${message}, the pack has ${bytes.length} and ${indexLength}`);
  }
  if (index.objectCount === 0) throw corrupt(`pack ${entry.pack}`, "holds nothing");
  table.addPack(index, entry);
  releaseBytes(bytes);
  collectAfter(index.objectCount);
  return true;
}
