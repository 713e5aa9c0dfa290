/** Large contents that can be made again from a few words, for the vectors of the chunker. */
import { SeededRandom } from "./seeded-random.ts";

export interface ChunkInput {
  readonly source: string;
  readonly seed: number;
  /** Bytes. */
  readonly length: number;
}

export function makeChunkInput({ source, seed, length }: ChunkInput): Uint8Array {
  if (source === "random") return new SeededRandom(seed).bytes(length);
  const bytes = new Uint8Array(length);
  if (source === "zeros") return bytes;
  for (let at = 0, i = 0; at < length; i++) {
    const line = Buffer.from(`line ${i}: ${(Math.imul(i, 0x9e3779b1) >>> 0).toString(36)}\n`);
    bytes.set(line.subarray(0, length - at), at);
    at += line.length;
  }
  return bytes;
}
