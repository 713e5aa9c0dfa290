/**
 * Prints src/core/prolly/cut-table.ts: T[i] = round(−2³⁶ · ln(1 − i/256)) for i < 256, T[256] = T[255] + 2³⁷.
 * The table is checked in because it is part of the format; run this only to show where it comes from:
 * `bun scripts/generate-prolly-cut-table.ts > src/core/prolly/cut-table.ts`.
 */
const table: number[] = [];
for (let i = 0; i < 256; i++) table.push(Math.round(-(2 ** 36) * Math.log1p(-i / 256)) + 0);
table.push(table[255]! + 2 ** 37);

const lines: string[] = [];
for (let i = 0; i < table.length; i += 7) lines.push(`  ${table.slice(i, i + 7).join(", ")},`);
process.stdout.write(`/** Made by scripts/generate-prolly-cut-table.ts and part of the node format: never regenerate with other values. */
// biome-ignore format: a table
export const CUT_TABLE: Float64Array = Float64Array.of(
${lines.join("\n")}
);
`);
