/** Objects of many sizes that every process of a test makes alike, and ranges of them. */
import type { ByteRange, ObjectStore } from "../../src/core/store/object-store.ts";
import type { SeededRandom } from "./seeded-random.ts";

const BLOCK = 32 << 10;
const SIZES = [0, 1, 700, BLOCK - 1, BLOCK, BLOCK + 1, 250_000, 32 * BLOCK, 33 * BLOCK + 5, 70 * BLOCK + 99];
export const OBJECTS = 40;

export async function fillStore(store: ObjectStore): Promise<ReadonlyMap<string, Uint8Array>> {
  const objects = new Map<string, Uint8Array>();
  for (let i = 0; i < OBJECTS; i++) {
    const bytes = new Uint8Array(SIZES[i % SIZES.length]!);
    for (let at = 0; at < bytes.length; at++) bytes[at] = (at * 31 + (at >> 9) * 7 + i * 101) & 255;
    objects.set(`packs/${i}`, bytes);
    await store.put(`packs/${i}`, bytes);
  }
  return objects;
}

/** Everything, an end, a part, or what passes the end. */
export function randomRange(random: SeededRandom, size: number): ByteRange | undefined {
  const kind = random.below(8);
  if (kind === 0) return undefined;
  const offset = random.below(size + 2);
  if (kind === 1) return { offset, length: size + 10 - Math.min(offset, size) };
  if (kind < 5) return { offset, length: random.below(50_000) };
  return { offset: Math.max(0, size - 1 - random.below(3000)), length: random.below(4000) };
}

export function sameRange(
  found: Uint8Array | undefined,
  whole: Uint8Array,
  range: ByteRange | undefined,
): boolean {
  const wanted = range === undefined ? whole : whole.subarray(range.offset, range.offset + range.length);
  return found !== undefined && Buffer.compare(found, wanted) === 0;
}
