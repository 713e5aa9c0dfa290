/** Every object that a head leads to. */
import { MicError } from "../../base/errors.ts";
import { verifyObject } from "../../base/hash.ts";
import type { ObjectId, ProjectId } from "../../base/ids.ts";
import type { Head } from "../../codec/head.ts";
import { decodeManifestPage } from "../../codec/manifest-page.ts";
import { decodeRollupFront } from "../../codec/rollup.ts";
import { packKey, pageKey, rollupKey, rollupPartKey } from "../../objects/keys.ts";
import type { ObjectStore } from "../../store/object-store.ts";
import type { CallOptions } from "../forge.ts";

/**
 * Pages and rollups are given before they are read, so that whoever copies what is given finds them in `store`.
 * Errors: `corrupt` when one of them is missing or damaged.
 */
export async function* namedKeys(
  store: ObjectStore,
  project: ProjectId,
  head: Pick<Head, "packs" | "pages" | "rollups">,
  options: CallOptions,
): AsyncIterable<string> {
  for (const { epoch, pack } of head.packs) yield packKey(project, epoch, pack);
  const pages = [...head.pages];
  for (let ref = pages.pop(); ref !== undefined; ref = pages.pop()) {
    const key = pageKey(project, ref.epoch, ref.hash);
    yield key;
    const page = decodeManifestPage(await readHashed(store, key, ref.hash, options));
    if ("packs" in page) for (const { epoch, pack } of page.packs) yield packKey(project, epoch, pack);
    else pages.push(...page.pages);
  }
  for (const { level, epoch, first, hash } of head.rollups) {
    const key = rollupKey(project, epoch, level, first, hash);
    yield key;
    const front = decodeRollupFront(await readHashed(store, key, hash, options));
    for (const part of front.parts) yield rollupPartKey(project, epoch, part.hash);
  }
}

async function readHashed(
  store: ObjectStore,
  key: string,
  hash: ObjectId,
  options: CallOptions,
): Promise<Uint8Array> {
  const found = await store.get(key, options);
  if (found === undefined) {
    throw new MicError("corrupt", `${key} is missing in ${store.description}`, {
      hint: "run `mic fsck --repair` there first",
      data: { object: key },
    });
  }
  verifyObject(hash, found.bytes, key);
  return found.bytes;
}
