/**
 * `npm run demo`: builds the binary and runs its main job in an empty directory, with no server and no account.
 * Every command is printed with what it answered. Exits 1 when one of them does not do what it says.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("..", import.meta.url));
const MIC = join(REPOSITORY, "dist", process.platform === "win32" ? "mic.exe" : "mic");
const CONFLICT = 3;

execFileSync(process.execPath, [join(REPOSITORY, "scripts/build-binary.ts")], { stdio: "inherit" });

const directory = mkdtempSync(join(tmpdir(), "mic-demo-"));
const env = { ...process.env, MIC_HOME: join(directory, "home"), MIC_AUTHOR: "You <you@example.org>" };

function mic(cwd: string, args: readonly string[], expected = 0): void {
  console.log(`\n$ mic ${args.map((arg) => (/[^\w@./-]/.test(arg) ? JSON.stringify(arg) : arg)).join(" ")}`);
  const run = spawnSync(MIC, args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  process.stdout.write(run.stdout + run.stderr);
  if (run.status !== expected) throw new Error(`exited ${run.status}, expected ${expected}`);
}
function write(workspace: string, path: string, content: string): void {
  console.log(`\n$ cat > ${path} <<< ${JSON.stringify(content)}`);
  writeFileSync(join(workspace, path), content);
}
function expectContent(workspace: string, path: string, content: string): void {
  const found = readFileSync(join(workspace, path), "utf8");
  if (found !== content)
    throw new Error(`${path} is ${JSON.stringify(found)}, expected ${JSON.stringify(content)}`);
}

const a = join(directory, "a");
const b = join(directory, "b");
mkdirSync(a);
mic(a, ["init", "--name", "local/demo"]);
write(a, "greeting.txt", "hello\nworld\n");
mic(a, ["status"]);
mic(a, ["land", "first"]);
write(a, "greeting.txt", "hello\nwhole world\n");
mic(a, ["diff"]);
mic(a, ["land", "second"]);
mic(a, ["log"]);
mic(a, ["blame", "greeting.txt"]);
mic(a, ["goto", "1"]);
expectContent(a, "greeting.txt", "hello\nworld\n");
mic(a, ["goto", "latest"]);
mic(a, ["revert", "2"]);
expectContent(a, "greeting.txt", "hello\nworld\n");

console.log("\n# A second workspace of the same project: both change the same line.");
mic(directory, ["clone", a, b]);
write(a, "greeting.txt", "hello\nworld from a\n");
write(b, "greeting.txt", "hello\nworld from b\n");
mic(a, ["land", "greet from a"]);
mic(b, ["land", "greet from b"], CONFLICT);
mic(b, ["sync"], CONFLICT);
mic(b, ["resolve", "--union", "greeting.txt"]);
mic(b, ["land", "greet from both"]);
mic(a, ["sync"]);
expectContent(a, "greeting.txt", readFileSync(join(b, "greeting.txt"), "utf8"));
mic(a, ["log"]);
mic(a, ["fsck"]);
rmSync(directory, { recursive: true });
console.log(`\nIt works. The binary is ${MIC}: copy it anywhere on your PATH.`);
