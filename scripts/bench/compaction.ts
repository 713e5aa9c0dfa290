/**
 * What merging packs saves on a real history: successive published versions of npm packages, landed one by one, then
 * merged; beside `git gc` of the same history in the same run. Afterwards every position is compared with what was
 * landed, from the merged packs alone.
 *
 *   npm run bench -- compaction [--packages rxjs,lodash,express] [--versions 100]
 *
 * Prints bytes of content, of packs as landed, after due merges as a server makes them, and after merging everything;
 * for git the pack that `git gc` makes. Exits 1 when merged packs are above BAR of those that were landed.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { hashObject } from "../../src/core/base/hash.ts";
import {
  EMPTY_ROOT,
  type ObjectId,
  POSITION_ZERO,
  type Position,
  type ProjectId,
} from "../../src/core/base/ids.ts";
import { BLOB_FRAME_RAW_BYTES, INLINE_CONTENT_BYTES_MAX } from "../../src/core/base/limits.ts";
import { comparePaths, parseTreePath, type TreePath } from "../../src/core/base/path.ts";
import { mintLandingId, mintProjectId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { decodeHead } from "../../src/core/codec/head.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import type { Operation, PositionRef } from "../../src/core/forge/forge.ts";
import { Manifest, PageCache } from "../../src/core/forge/head/manifest.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import { headKey, packKey, packsPrefix } from "../../src/core/objects/keys.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { fetchPackages, PACKAGES } from "../real/packages.ts";
import { peerEnvironment, run, scratch } from "./harness.ts";

/** Merged bytes to landed bytes. */
const BAR = 0.4;
/** Below this, content is no large file that is cut into chunks. */
const PLAIN_BYTES_MAX = 1 << 20;

const { values } = parseArgs({
  options: {
    packages: { type: "string", default: "rxjs,lodash,express" },
    versions: { type: "string", default: "100" },
  },
});
const names = values.packages.split(",");
const histories = PACKAGES.filter(({ name }) => names.includes(name));
const directories = fetchPackages(histories);
/** Interleaved, so that every landing changes one package. */
const steps = Array.from({ length: 100 }, (_, i) =>
  histories.flatMap(({ name, versions }) => (i < versions.length ? [{ name, version: versions[i]! }] : [])),
)
  .flat()
  .slice(0, Number(values.versions));

using directory = scratch("compaction");
const env = peerEnvironment(join(directory.path, "home"));
const work = join(directory.path, "git");
mkdirSync(work);
const git = (...args: string[]) => run(["git", ...args], { cwd: work, env });
git("init", "-q", ".");

const store = new MemoryStore(systemClock);
const openForge = (): ForgeService =>
  new ForgeService({
    store,
    address: "memory",
    clock: systemClock,
    random: systemRandom,
    trustWriters: true,
  });
const forge = openForge();
const project: ProjectId = (
  await forge.createProject({ id: mintProjectId(systemRandom), name: "bench/compaction" })
).id;

let base: PositionRef = { position: POSITION_ZERO, root: EMPTY_ROOT };
const files = new Map<TreePath, ObjectId>();
/** Of each position. */
const trees: ReadonlyMap<TreePath, ObjectId>[] = [new Map()];
const contents = new Set<ObjectId>();
let contentBytes = 0;

for (const { name, version } of steps) {
  const source = directories.get(`${name}@${version}`)!;
  rmSync(join(work, name), { recursive: true, force: true });
  cpSync(source, join(work, name), { recursive: true });
  git("add", "-A", ".");
  git("commit", "-q", "--allow-empty", "-m", `${name} ${version}`);
  await land(`${name} ${version}`, name, source);
}

async function land(goal: string, name: string, source: string): Promise<void> {
  const operations: Operation[] = [];
  const present = new Set<TreePath>();
  const frames = new FrameBuilder({ rawTarget: BLOB_FRAME_RAW_BYTES });
  for (const file of filesBelow(source)) {
    const bytes = readFileSync(join(source, file));
    // Chunks are the same in packs of any kind.
    if (bytes.length > PLAIN_BYTES_MAX) continue;
    const path = parseTreePath(`${name}/${file}`);
    const id = hashObject(bytes);
    present.add(path);
    if (files.get(path) === id) continue;
    files.set(path, id);
    operations.push({ kind: "put", path, entry: { kind: "file", size: bytes.length, id }, hint: 0 });
    if (contents.has(id)) continue;
    contents.add(id);
    contentBytes += bytes.length;
    frames.add("blob", id, bytes);
  }
  for (const path of [...files.keys()]) {
    if (!path.startsWith(`${name}/`) || present.has(path)) continue;
    files.delete(path);
    operations.push({ kind: "delete", path });
  }
  operations.sort((a, b) => comparePaths(a.path, b.path));
  const finished = frames.finish();
  const storedBytes = finished.reduce((sum, { stored }) => sum + stored.length, 0);
  const isLarge = storedBytes > INLINE_CONTENT_BYTES_MAX;
  const result = await forge.land(project, {
    landingId: mintLandingId(systemRandom),
    base,
    goal,
    author: "Bench <bench@example.org>",
    agent: "",
    operations,
    decisions: [],
    conversation: [],
    packs: isLarge ? [await forge.putPack(project, encodePack(finished).bytes)] : [],
    frames: isLarge ? [] : finished,
  });
  if (result.kind !== "landed") throw new Error(`${goal}: conflict`);
  base = { position: result.position, root: result.root };
  trees.push(new Map(files));
}

function* filesBelow(root: string, prefix = ""): Generator<string> {
  for (const entry of readdirSync(join(root, prefix), { withFileTypes: true })) {
    const path = `${prefix}${entry.name}`;
    if (entry.isDirectory()) yield* filesBelow(root, `${path}/`);
    else if (entry.isFile()) yield path;
  }
}

interface Packs {
  readonly count: number;
  readonly bytes: number;
  readonly keys: ReadonlySet<string>;
}

async function namedPacks(): Promise<Packs> {
  const head = decodeHead((await store.get(headKey(project)))!.bytes);
  const keys = new Set<string>();
  let bytes = 0;
  for await (const page of new Manifest(head, new PageCache(store, project)).newestFirst()) {
    for (const { epoch, pack, size } of page) {
      keys.add(packKey(project, epoch, pack));
      bytes += size;
    }
  }
  return { count: keys.size, bytes, keys };
}

const landed = await namedPacks();
const started = performance.now();
await forge.upkeep(project, { aside: true });
const due = await namedPacks();
await forge.upkeep(project, { all: true, aside: true });
const mergedMs = performance.now() - started;
const merged = await namedPacks();
const gitLoose = gitBytes();
const gc = git("gc", "-q");
const gitPacked = gitBytes();

function gitBytes(): number {
  const objects = join(work, ".git/objects");
  let bytes = 0;
  for (const name of readdirSync(objects, { recursive: true, encoding: "utf8" })) {
    const info = statSync(join(objects, name));
    if (info.isFile() && /(\.pack|[0-9a-f]{2}\/[0-9a-f]{38})$/.test(name)) bytes += info.size;
  }
  return bytes;
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(2)} MiB`;
const ratio = merged.bytes / landed.bytes;
console.log(
  `${steps.length} versions of ${names.join(", ")}: ${contents.size} contents, ${mib(contentBytes)}`,
);
console.log(`as landed          ${mib(landed.bytes).padStart(10)} in ${landed.count} packs`);
console.log(`due merges         ${mib(due.bytes).padStart(10)} in ${due.count} packs`);
console.log(
  `everything merged  ${mib(merged.bytes).padStart(10)} in ${merged.count} packs, ${Math.round(mergedMs)} ms`,
);
console.log(`git, loose         ${mib(gitLoose).padStart(10)}`);
console.log(`git gc             ${mib(gitPacked).padStart(10)}, ${Math.round(gc.wallMs)} ms`);
console.log(
  `ratio merged to landed ${ratio.toFixed(3)} (bar ${BAR}), git ${(gitPacked / gitLoose).toFixed(3)}; merged to git gc ${(merged.bytes / gitPacked).toFixed(2)}`,
);

const problems = await checkEveryPosition();
for (const problem of problems.slice(0, 10)) console.log(`WRONG ${problem}`);
console.log(`${trees.length - 1} positions compared, ${problems.length} wrong`);
process.exitCode = problems.length === 0 && ratio <= BAR ? 0 : 1;

/** In a new process's place, and from the merged packs alone: the others are deleted. */
async function checkEveryPosition(): Promise<string[]> {
  const wrong: string[] = [];
  for (let after: string | undefined; ; ) {
    const page = await store.list(packsPrefix(project), after === undefined ? {} : { after });
    await store.delete(page.objects.map(({ key }) => key).filter((key) => !merged.keys.has(key)));
    if (page.next === undefined) break;
    after = page.next;
  }
  const reader = openForge();
  const read = new Set<ObjectId>();
  for (const [position, expected] of trees.entries()) {
    let count = 0;
    for await (const page of reader.listEntries(project, position as Position, undefined)) {
      for (const found of page) {
        count++;
        if (expected.get(found.path) !== found.entry.id) wrong.push(`@${position} ${found.path}`);
        if (read.has(found.entry.id)) continue;
        read.add(found.entry.id);
        const pieces: Uint8Array[] = [];
        for await (const piece of reader.readFile(project, found)) pieces.push(piece);
        if (hashObject(Buffer.concat(pieces)) !== found.entry.id)
          wrong.push(`@${position} ${found.path}: content`);
      }
    }
    if (count !== expected.size) wrong.push(`@${position}: ${count} files, not ${expected.size}`);
  }
  const { findings } = await reader.fsck(project);
  return [...wrong, ...findings.map((finding) => JSON.stringify(finding))];
}
