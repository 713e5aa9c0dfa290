/** One attempt to swap the head: the next head, and what is stored with it. */
import { bytesToHex } from "../../base/bytes.ts";
import type { Random } from "../../base/random.ts";
import { encodeHead, type Head } from "../../codec/head.ts";
import { headKey } from "../../objects/keys.ts";
import type { Put, Swap } from "../../store/object-store.ts";
import type { ChangedLists } from "../head/change.ts";
import type { Snapshot } from "../log/snapshot.ts";

const NONCE_BYTES = 16;

export interface SealedHead {
  readonly head: Head;
  readonly puts: readonly Put[];
  readonly swap: Swap;
}

export interface SealContext {
  readonly snapshot: Snapshot;
  readonly random: Random;
  /** The store's time, taken before anything was checked. */
  readonly storeMs: number;
}

/** The next head with the swap to it, under a nonce of its own. */
export function sealHead(
  { snapshot, random, storeMs }: SealContext,
  next: Omit<Head, "leastReader" | "leastWriter" | "salt" | "nonce">,
): Pick<SealedHead, "head" | "swap"> {
  const { leastReader, leastWriter, salt } = snapshot.head;
  const head = { ...next, leastReader, leastWriter, salt, nonce: bytesToHex(random.bytes(NONCE_BYTES)) };
  const key = headKey(snapshot.project);
  return { head, swap: { key, expected: snapshot.etag, bytes: encodeHead(head), checkedAtMs: storeMs } };
}

/** The swap to a head with other lists, at the same position. */
export function sealChange(context: SealContext, changed: ChangedLists): SealedHead {
  const { position, root, hlc, rootHint, ring } = context.snapshot.head;
  const { rollups, pages, packs, puts } = changed;
  return { ...sealHead(context, { position, root, hlc, rootHint, ring, rollups, pages, packs }), puts };
}
