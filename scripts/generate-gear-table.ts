/**
 * Writes src/core/objects/gear-table.ts: 256 pseudo-random words, part of the format of chunked files. Word i is
 * the first four bytes, little-endian, of BLAKE3("mic chunker gear 1" followed by the byte i).
 *
 * Run: bun scripts/generate-gear-table.ts
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { asBuffer, concatBytes, utf8 } from "../src/core/base/bytes.ts";
import { hashBytes } from "../src/core/base/hash.ts";

const WORDS_PER_LINE = 8;
const SEED = utf8("mic chunker gear 1");

const words = Array.from({ length: 256 }, (_, byte) => {
  const word = asBuffer(hashBytes(concatBytes([SEED, Uint8Array.of(byte)]))).readUInt32LE(0);
  return `0x${word.toString(16).padStart(8, "0")}`;
});
const lines: string[] = [];
for (let i = 0; i < words.length; i += WORDS_PER_LINE) {
  lines.push(`  ${words.slice(i, i + WORDS_PER_LINE).join(", ")},`);
}
const text = `/**
 * Written by scripts/generate-gear-table.ts. Part of the format: another table would cut every large file
 * elsewhere and share no chunk with what is stored.
 */
// biome-ignore format: a table
export const GEAR_TABLE: Uint32Array = Uint32Array.of(
${lines.join("\n")}
);
`;
writeFileSync(fileURLToPath(new URL("../src/core/objects/gear-table.ts", import.meta.url)), text);
