/** What a pass found to be named by nothing: gathered in groups, and looked up in the next pass. */
import { asBuffer } from "../../base/bytes.ts";
import {
  COLLECTION_ID_BYTES,
  COLLECTION_IDS_MAX,
  type CollectionGroup,
  type CollectionPass,
  compareIds,
} from "../../codec/collection.ts";
import { STORED_KINDS, type StoredKey } from "../../objects/stored-key.ts";

const CAPACITY_LEAST = 64;

interface Gathering {
  readonly kind: number;
  readonly days: number;
  ids: Buffer;
  count: number;
}

export class Candidates {
  readonly #groups = new Map<number, Gathering>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** False when there are too many: the next pass has room. */
  add({ kind, days, id }: StoredKey): boolean {
    if (this.#count >= COLLECTION_IDS_MAX) return false;
    this.#count++;
    const place = STORED_KINDS[kind] * 0x10000 + days;
    let group = this.#groups.get(place);
    if (group === undefined) {
      const ids = Buffer.alloc(CAPACITY_LEAST * COLLECTION_ID_BYTES);
      group = { kind: STORED_KINDS[kind], days, ids, count: 0 };
      this.#groups.set(place, group);
    }
    const at = group.count * COLLECTION_ID_BYTES;
    if (at === group.ids.length) group.ids = Buffer.concat([group.ids], group.ids.length * 2);
    group.ids.write(id, at, COLLECTION_ID_BYTES, "hex");
    group.count++;
    return true;
  }

  /** As they are stored. */
  groups(): readonly CollectionGroup[] {
    return [...this.#groups]
      .sort(([a], [b]) => a - b)
      .map(([, { kind, days, ids, count }]) => {
        return { kind, days, ids: sortedIds(ids.subarray(0, count * COLLECTION_ID_BYTES)) };
      });
  }
}

/** Ascending, each once. Listings give nearly all of them in that order. */
function sortedIds(ids: Uint8Array): Uint8Array {
  const count = ids.length / COLLECTION_ID_BYTES;
  const order = Uint32Array.from({ length: count }, (_, i) => i * COLLECTION_ID_BYTES);
  if (!order.every((at, i) => i === 0 || compareIds(ids, order[i - 1]!, ids, at) < 0)) {
    order.sort((a, b) => compareIds(ids, a, ids, b));
  }
  const sorted = new Uint8Array(ids.length);
  let end = 0;
  for (const at of order) {
    if (end > 0 && compareIds(sorted, end - COLLECTION_ID_BYTES, ids, at) === 0) continue;
    sorted.set(ids.subarray(at, at + COLLECTION_ID_BYTES), end);
    end += COLLECTION_ID_BYTES;
  }
  return sorted.subarray(0, end);
}

/** The candidates of an earlier pass. */
export class EarlierPass {
  readonly atMs: number;
  readonly isDeleted: boolean;
  readonly count: number;
  readonly #ids = new Map<number, Uint8Array>();

  constructor(pass: CollectionPass) {
    this.atMs = pass.atMs;
    this.isDeleted = pass.isDeleted;
    let bytes = 0;
    for (const { kind, days, ids } of pass.groups) {
      this.#ids.set(kind * 0x10000 + days, ids);
      bytes += ids.length;
    }
    this.count = bytes / COLLECTION_ID_BYTES;
  }

  has({ kind, days, id }: StoredKey): boolean {
    const ids = this.#ids.get(STORED_KINDS[kind] * 0x10000 + days);
    if (ids === undefined) return false;
    wanted.write(id, 0, COLLECTION_ID_BYTES, "hex");
    let low = 0;
    let high = ids.length / COLLECTION_ID_BYTES;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = compareIds(ids, middle * COLLECTION_ID_BYTES, wanted, 0);
      if (order === 0) return true;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return false;
  }
}

const wanted = asBuffer(new Uint8Array(COLLECTION_ID_BYTES));
