/** Every pack and page of a project, by hash, and which objects they hold. */
import { releaseBytes } from "../base/bytes.ts";
import { corrupt, MicError } from "../base/errors.ts";
import { collectAfter } from "../base/garbage.ts";
import { hashObject, verifyObject } from "../base/hash.ts";
import type { ObjectId, ProjectId } from "../base/ids.ts";
import { decodeLooseObject } from "../codec/loose-object.ts";
import { decodeManifestPage } from "../codec/manifest-page.ts";
import type { ManifestPack } from "../codec/pack-entry.ts";
import type { PageRef } from "../codec/page-ref.ts";
import {
  headKey,
  metaKey,
  packKey,
  pageKey,
  parseBlobKey,
  parsePackKey,
  projectPrefix,
  sessionsPrefix,
} from "../objects/keys.ts";
import { verifyPack } from "../objects/verify-pack.ts";
import type { ForgeContext } from "./context.ts";
import type { Progress } from "./forge.ts";
import type { Findings } from "./fsck-findings.ts";
import { ObjectTable } from "./object-table.ts";
import type { Snapshot } from "./snapshot.ts";

export interface CheckedPacks {
  readonly table: ObjectTable;
  readonly packs: number;
  /** Of the packs. */
  readonly bytes: number;
}

export async function checkPacks(
  context: ForgeContext,
  snapshot: Snapshot,
  refresh: () => Promise<Snapshot>,
  findings: Findings,
  onProgress: (progress: Progress) => void,
): Promise<CheckedPacks> {
  const table = new ObjectTable();
  const entries: ManifestPack[] = [];
  await findings.attempt({ object: headKey(snapshot.project) }, async () => {
    for await (const page of snapshot.directory.newestFirst()) entries.push(...page);
  });
  const total = entries.reduce((sum, entry) => sum + entry.size, 0);
  let done = 0;
  for (const entry of entries) {
    const key = packKey(snapshot.project, entry.epoch, entry.pack);
    await findings.attempt({ object: key, position: entry.first }, () =>
      checkPack(context, key, entry, table),
    );
    done += entry.size;
    onProgress({ done, total, unit: "bytes" });
  }
  await checkUnnamed(context, snapshot, refresh, findings);
  return { table, packs: entries.length, bytes: total };
}

async function checkPack(
  context: ForgeContext,
  key: string,
  entry: ManifestPack,
  table: ObjectTable,
): Promise<void> {
  const stored = await context.store.get(key);
  if (stored === undefined) throw new MicError("not-found", `the pack ${entry.pack} is missing`);
  const { bytes } = stored;
  verifyObject(entry.pack as string as ObjectId, bytes, key);
  const { index, indexLength } = verifyPack(bytes, { trusted: false });
  if (bytes.length !== entry.size || indexLength !== entry.indexLength) {
    throw corrupt(`pack ${entry.pack}`, `${bytes.length} bytes, its entry says ${entry.size}`);
  }
  table.addPack(index, entry);
  releaseBytes(bytes);
  collectAfter(index.objectCount);
}

/** Objects that the head does not lead to: harmless left-overs, but they must be what their name says. */
async function checkUnnamed(
  context: ForgeContext,
  snapshot: Snapshot,
  refresh: () => Promise<Snapshot>,
  findings: Findings,
): Promise<void> {
  const { project } = snapshot;
  const named = await findings.attempt({ object: headKey(project) }, () => namedKeys(context, snapshot));
  if (named === undefined) return;
  const unnamed: string[] = [];
  let after: string | undefined;
  do {
    const page = await context.store.list(projectPrefix(project), after === undefined ? {} : { after });
    for (const { key } of page.objects) {
      const isChecked = named.has(key) || key.startsWith(sessionsPrefix(project));
      if (!isChecked && key !== headKey(project) && key !== metaKey(project)) unnamed.push(key);
    }
    after = page.next;
  } while (after !== undefined);
  if (unnamed.length === 0) return;
  // What landed since the snapshot was taken is named by a newer head.
  const namedNow = await namedKeys(context, await refresh());
  const loose = await checkLoose(context, project, unnamed, findings);
  for (const key of unnamed) {
    if (namedNow.has(key) || loose.objects.has(key)) continue;
    await findings.attempt({ object: key }, async () => {
      const hash = hashInKey(key);
      const stored = await context.store.get(key);
      if (stored === undefined) return;
      if (hash === undefined) {
        findings.warning("unknown", "nothing is known about this object", { object: key });
      } else if (hashObject(stored.bytes) === hash) {
        if (loose.packs.has(key)) return;
        findings.warning("unreferenced", "the head does not lead to this object", { object: key });
      } else throw corrupt(key, "does not have the content that it is named by");
    });
  }
}

/** Content that no landing named yet: it is what its name says, and its packs are waiting with it. */
async function checkLoose(
  context: ForgeContext,
  project: ProjectId,
  keys: readonly string[],
  findings: Findings,
): Promise<{ readonly objects: ReadonlySet<string>; readonly packs: ReadonlySet<string> }> {
  const objects = new Set<string>();
  const packs = new Set<string>();
  for (const key of keys) {
    const id = parseBlobKey(key)?.id;
    if (id === undefined) continue;
    objects.add(key);
    await findings.attempt({ object: key }, async () => {
      const stored = await context.store.get(key);
      if (stored === undefined) return;
      const object = decodeLooseObject(stored.bytes, id);
      if (object.kind === "blob") return;
      for (const { epoch, pack } of object.packs) packs.add(packKey(project, epoch, pack));
    });
  }
  return { objects, packs };
}

function hashInKey(key: string): string | undefined {
  return parsePackKey(key)?.pack ?? /\/pages\/[^/]+\/[0-9a-f]{2}\/([0-9a-f]{64})$/.exec(key)?.[1];
}

/** Keys of the packs and pages that a head leads to. */
async function namedKeys(context: ForgeContext, snapshot: Snapshot): Promise<ReadonlySet<string>> {
  const { project, head } = snapshot;
  const keys = new Set<string>();
  const pending: PageRef[] = [...head.pages];
  const addPacks = (packs: readonly ManifestPack[]): void => {
    for (const { epoch, pack } of packs) keys.add(packKey(project, epoch, pack));
  };
  addPacks(head.packs);
  for (let ref = pending.pop(); ref !== undefined; ref = pending.pop()) {
    const key = pageKey(project, ref.epoch, ref.hash);
    keys.add(key);
    const stored = await context.store.get(key);
    if (stored === undefined) throw new MicError("not-found", `the page ${ref.hash} is missing`);
    const page = decodeManifestPage(stored.bytes);
    if ("packs" in page) addPacks(page.packs);
    else pending.push(...page.pages);
  }
  return keys;
}
