/** `npm run bench -- NAME [options]`: runs scripts/bench/NAME.ts against the built binary. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { MIC } from "./harness.ts";

const SUPPORT = new Set([
  "run.ts",
  "harness.ts",
  "tree.ts",
  "server.ts",
  "bucket.ts",
  "git-daemon.ts",
  "delayed.ts",
  "delay-proxy.ts",
  "landing-client.ts",
  "load.ts",
  "grpc-load.ts",
]);
const directory = import.meta.dirname;
const names = readdirSync(directory)
  .filter((file) => file.endsWith(".ts") && !SUPPORT.has(file))
  .map((file) => file.slice(0, -3));
const name = process.argv[2];
if (name === undefined || !names.includes(name)) {
  console.error(`usage: npm run bench -- ${names.join("|")} [options]`);
  process.exit(2);
}
if (!existsSync(MIC)) {
  console.error("build the binary first: npm run build");
  process.exit(1);
}
process.argv.splice(2, 1);
await import(join(directory, `${name}.ts`));
