/** Objects that the head does not lead to: harmless left-overs, but they must be what their name says. */
import { corrupt } from "../../base/errors.ts";
import { hashObject } from "../../base/hash.ts";
import type { ObjectId } from "../../base/ids.ts";
import { decodeCollectionPass } from "../../codec/collection.ts";
import { decodeLooseObject } from "../../codec/loose-object.ts";
import { epochToDays } from "../../codec/pack-entry.ts";
import { decodeRollupFront } from "../../codec/rollup.ts";
import {
  collectorPassKey,
  headKey,
  metaKey,
  projectPrefix,
  quarantinePrefix,
  rollupKey,
} from "../../objects/keys.ts";
import { parseStoredKey } from "../../objects/stored-key.ts";
import { KeySet } from "../collect/key-set.ts";
import type { ForgeContext } from "../context.ts";
import type { Snapshot } from "../log/snapshot.ts";
import type { Damage } from "./damage.ts";
import type { Findings } from "./findings.ts";
import { type ListedPacks, listPacks } from "./lists.ts";

/**
 * How many objects nothing names. Where a page cannot be read it is not known what is named, and nothing counts as
 * unnamed but what is damaged.
 */
export async function checkUnnamed(
  context: ForgeContext,
  snapshot: Snapshot,
  lists: ListedPacks,
  refresh: () => Promise<Snapshot>,
  findings: Findings,
  damage: Damage,
): Promise<number> {
  const { project } = snapshot;
  const named = new KeySet();
  await addNamed(named, context, snapshot, lists);
  const unnamed: string[] = [];
  let uploads = 0;
  const fixed = new Set([headKey(project), metaKey(project)]);
  for (let after: string | undefined; ; ) {
    const page = await context.store.list(projectPrefix(project), after === undefined ? {} : { after });
    for (const { key } of page.objects) {
      const { kind, days, id } = parseStoredKey(project, key);
      const isKnown = kind === "session" || fixed.has(key) || key.startsWith(quarantinePrefix(project));
      // What somebody uploads past the server proves nothing, and nothing is expected of it.
      if (kind === "staging") uploads++;
      else if (!isKnown && !named.has(kind, days, id)) unnamed.push(key);
    }
    if (page.next === undefined) break;
    after = page.next;
  }
  if (unnamed.length === 0) return uploads;
  // What landed since the lists were read is named by a newer head.
  const newest = await refresh();
  const newestLists = await listPacks(context, newest);
  await addNamed(named, context, newest, newestLists);
  const isNamingKnown = newestLists.damagedPages.length === 0;
  let count = uploads;
  for (const key of unnamed) {
    const { kind, days, id } = parseStoredKey(project, key);
    if (named.has(kind, days, id)) continue;
    const isSound = await findings.attempt({ object: key }, async () => {
      const stored = await context.store.get(key, { fresh: true });
      if (stored === undefined) return true;
      if (key === collectorPassKey(project)) checkPass(stored.bytes);
      else if (kind === "blob") decodeLooseObject(stored.bytes, id as ObjectId);
      else if (kind === "other") {
        findings.warning("unknown", "nothing is known about this object", { object: key });
      } else if (hashObject(stored.bytes) !== id) {
        throw corrupt(key, "does not have the content that it is named by");
      } else if (isNamingKnown) count++;
      return true;
    });
    if (isSound === undefined && isNamingKnown) damage.unnamed.push(key);
  }
  return count;
}

/** Damage costs a day, and the next pass writes it anew. */
function checkPass(bytes: Uint8Array): void {
  decodeCollectionPass(bytes);
}

/** Adds what a head leads to; of a rollup whose front cannot be read, the front. */
async function addNamed(
  named: KeySet,
  context: ForgeContext,
  { project, head }: Snapshot,
  lists: ListedPacks,
): Promise<void> {
  for (const { epoch, pack } of lists.packs) named.add("pack", epochToDays(epoch), pack);
  for (const { epoch, hash } of lists.pages) named.add("page", epochToDays(epoch), hash);
  for (const { level, epoch, first, hash } of head.rollups) {
    const days = epochToDays(epoch);
    named.add("rollup", days, hash);
    const stored = await context.store.get(rollupKey(project, epoch, level, first, hash));
    if (stored === undefined || hashObject(stored.bytes) !== hash) continue;
    for (const part of decodeRollupFront(stored.bytes).parts) named.add("part", days, part.hash);
  }
}
