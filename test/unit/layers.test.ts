import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

/**
 * Keeps the layers of docs/ARCHITECTURE.md: imports point one way, and only the named places reach the file
 * system and the network.
 */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Inside core a folder imports only folders listed above it. */
const CORE_ORDER = [
  "base",
  "codec",
  "prolly",
  "store",
  "objects",
  "merge",
  "secrets",
  "forge",
  "db",
  "workspace",
  "wire",
  "remote",
];
/** These share only what is above the first of them, and the types that `forge` declares. */
const SIBLINGS = new Set(["forge", "db", "workspace", "remote"]);
/** What crosses the wire is what `forge` declares. */
const TYPES_OF_FORGE_ONLY = new Set([...SIBLINGS, "wire"]);
const FORGE_INTERFACE = "src/core/forge/forge.ts";

/**
 * Inside a folder of rooms, a room (or a file beside the rooms) imports only what is listed before it. `given` is
 * what every topic is handed: its types may be imported from anywhere in the folder.
 */
const ROOMS: readonly { folder: string; order: readonly string[]; given: readonly string[] }[] = [
  {
    folder: "src/core/forge/",
    order: [
      ...["forge.ts", "swap-loop.ts", "head", "rollup", "log", "content", "landing"],
      ...["project-store.ts", "context.ts", "sessions", "history", "projects"],
      ...["merge-packs", "upkeep.ts", "collect", "fsck", "repair", "maintenance.ts", "storage-stat.ts"],
      ...["service.ts", "migrate", "bucket-forge.ts", "forge-directory.ts"],
    ],
    given: ["context.ts", "maintenance.ts", "log/snapshot.ts"],
  },
  {
    folder: "src/core/workspace/",
    order: [
      ...["layout.ts", "sparse.ts", "results.ts", "context.ts"],
      ...["disk", "index", "scan", "content", "workspace.ts"],
      ...["secrets", "packing", "checkout", "clone", "publish", "commands", "watch"],
    ],
    given: ["workspace.ts"],
  },
];

const FILE_SYSTEM = new Set(["fs", "fs/promises", "better-sqlite3"]);
const NETWORK = new Set(["net", "tls", "http", "https", "http2", "dgram", "dns", "undici", "@grpc/grpc-js"]);
const TERMINAL = new Set(["readline", "tty", "commander", "ink", "react", "chalk"]);
/** The watcher's local socket: between processes of one user on one machine, loaded by no other file. */
const LOCAL_SOCKET = "src/core/workspace/watch/";
/** Ports to the real world, for composition roots and worker threads only. */
const WORLD = "src/core/base/system.ts";

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
  /** When it is needed: `import()`. */
  readonly isLate: boolean;
}

function sourceFiles(directory: string): string[] {
  return readdirSync(join(ROOT, directory), { withFileTypes: true, recursive: true })
    .filter((item) => item.isFile() && /\.tsx?$/.test(item.name))
    .map((item) => relative(ROOT, join(item.parentPath, item.name)).split(sep).join("/"));
}

const STATIC_IMPORT = /^\s*(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?["']([^"']+)["']/gm;
const DYNAMIC_IMPORT = /\b(?:import|require)\(\s*["']([^"']+)["']\s*\)/g;

function importsOf(file: string): Import[] {
  const text = readFileSync(join(ROOT, file), "utf8");
  const found: Import[] = [];
  const add = (specifier: string, typeOnly: boolean, isLate: boolean): void => {
    const to = specifier.startsWith(".")
      ? relative(ROOT, resolve(ROOT, dirname(file), specifier))
          .split(sep)
          .join("/")
      : specifier.replace(/^node:/, "");
    found.push({ from: file, to, typeOnly, isLate });
  };
  for (const match of text.matchAll(STATIC_IMPORT)) add(match[2]!, match[1] !== undefined, false);
  for (const match of text.matchAll(DYNAMIC_IMPORT)) add(match[1]!, false, true);
  return found;
}

function layerOf(file: string): string | undefined {
  const match = /^(?:src\/(core)\/([^/]+)|src\/(cli|server)|(bin|scripts|test))\//.exec(file);
  if (match === null) return undefined;
  return match[1] === undefined ? (match[3] ?? match[4]) : `core/${match[2]}`;
}

const files = [...sourceFiles("bin"), ...sourceFiles("src")];
const imports = files.flatMap(importsOf);

function breach(found: Import, why: string): string {
  return `${found.from} imports ${found.to}: ${why}`;
}

function findLayerBreaches(): string[] {
  const breaches: string[] = [];
  for (const found of imports) {
    const from = layerOf(found.from);
    const to = layerOf(found.to);
    if (from === undefined || to === undefined || from === to) continue;
    if (from === "bin") continue;
    if (to === "bin" || to === "scripts" || to === "test") breaches.push(breach(found, "points outwards"));
    else if (from === "cli" && to === "server") breaches.push(breach(found, "cli and server are siblings"));
    else if (from === "server" && to === "cli") breaches.push(breach(found, "cli and server are siblings"));
    else if (from.startsWith("core/") && !to.startsWith("core/"))
      breaches.push(breach(found, "core imports only core"));
    else if (from.startsWith("core/")) {
      const fromName = from.slice(5);
      const toName = to.slice(5);
      const declaredInterface = found.to === FORGE_INTERFACE && found.typeOnly;
      if (CORE_ORDER.indexOf(toName) > CORE_ORDER.indexOf(fromName)) {
        breaches.push(breach(found, `${toName} is below ${fromName}`));
      } else if (TYPES_OF_FORGE_ONLY.has(fromName) && SIBLINGS.has(toName) && !declaredInterface) {
        breaches.push(breach(found, `${fromName} and ${toName} share only what is above them`));
      }
    }
  }
  return breaches;
}

function findRoomBreaches(): string[] {
  return ROOMS.flatMap(({ folder, order, given }) => {
    const roomOf = (file: string): string => file.slice(folder.length).split("/")[0]!;
    const isGiven = ({ to, typeOnly }: Import): boolean =>
      typeOnly && given.includes(to.slice(folder.length));
    return imports
      .filter((found) => found.from.startsWith(folder) && found.to.startsWith(folder) && !isGiven(found))
      .filter(({ from, to }) => order.indexOf(roomOf(to)) > order.indexOf(roomOf(from)))
      .map((found) => breach(found, `${roomOf(found.to)} is below ${roomOf(found.from)}`));
  });
}

/** The first circle of modules that need each other while they are loaded. */
function findCircle(): readonly string[] | undefined {
  const needs = Map.groupBy(
    imports.filter(({ typeOnly, isLate }) => !typeOnly && !isLate),
    ({ from }) => from,
  );
  const isDone = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): readonly string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (isDone.has(file)) return undefined;
    path.push(file);
    for (const { to } of needs.get(file) ?? []) {
      const circle = visit(to);
      if (circle !== undefined) return circle;
    }
    path.pop();
    isDone.add(file);
    return undefined;
  };
  return files.map(visit).find((circle) => circle !== undefined);
}

function findReachBreaches(): string[] {
  const breaches: string[] = [];
  for (const found of imports) {
    if (found.typeOnly || !found.from.startsWith("src/core/")) continue;
    const layer = layerOf(found.from)?.slice(5);
    const touchesFiles = layer === "store" || layer === "workspace";
    if (FILE_SYSTEM.has(found.to) && !touchesFiles)
      breaches.push(breach(found, "only store and workspace touch files"));
    const isLocalSocket = found.to === "net" && found.from.startsWith(LOCAL_SOCKET);
    if (NETWORK.has(found.to) && layer !== "store" && layer !== "remote" && !isLocalSocket) {
      breaches.push(breach(found, "only store and remote reach the network"));
    }
    if (TERMINAL.has(found.to)) breaches.push(breach(found, "core never talks to a terminal"));
    if (found.to === WORLD && !/-worker\.ts$/.test(found.from)) {
      breaches.push(breach(found, "clock and randomness are passed in"));
    }
  }
  return breaches;
}

describe("layers", () => {
  test("every core folder has a place in the order", () => {
    const folders = readdirSync(join(ROOT, "src/core"), { withFileTypes: true })
      .filter((item) => item.isDirectory())
      .map((item) => item.name);
    expect(folders.filter((name) => !CORE_ORDER.includes(name))).toEqual([]);
  });

  test("the scan sees the imports that exist", () => {
    expect(imports.some((found) => found.to === "src/core/base/errors.ts")).toBe(true);
    expect(files.length).toBeGreaterThan(10);
  });

  test("imports point one way", () => {
    expect(findLayerBreaches()).toEqual([]);
  });

  test("every room, and every file beside rooms, has a place in its folder's order", () => {
    for (const { folder, order } of ROOMS)
      expect(readdirSync(join(ROOT, folder)).sort()).toEqual([...order].sort());
  });

  test("rooms of a folder import one way", () => {
    expect(findRoomBreaches()).toEqual([]);
  });

  test("no module needs itself while it is loaded", () => {
    expect(findCircle()).toBeUndefined();
  });

  test("only the named places reach files, the network, the clock and the terminal", () => {
    expect(findReachBreaches()).toEqual([]);
  });

  test("the product uses node's interfaces only, so that it can leave its runtime", () => {
    const uses = files.filter((file) =>
      /\bBun\.|\b(?:from|import) ?\(?["']bun["':]/.test(readFileSync(join(ROOT, file), "utf8")),
    );
    expect(uses).toEqual([]);
  });

  test("no barrel files", () => {
    expect(files.filter((file) => /\/index\.tsx?$/.test(file))).toEqual([]);
  });
});
