/** Workspaces in temporary directories, over forges that stay open as long as the test needs them. */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Position } from "../../src/core/base/ids.ts";
import { parseTreePath, type TreePath } from "../../src/core/base/path.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { openDirectoryForge } from "../../src/core/forge/forge-directory.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { cloneWorkspace } from "../../src/core/workspace/commands/clone.ts";
import { initWorkspace } from "../../src/core/workspace/commands/init.ts";
import { landWorkspace } from "../../src/core/workspace/commands/land.ts";
import { workspaceStatus } from "../../src/core/workspace/commands/status.ts";
import type { WorkspaceContext } from "../../src/core/workspace/context.ts";
import type { LandOptions } from "../../src/core/workspace/results.ts";
import { Workspace } from "../../src/core/workspace/workspace.ts";

/** A file is its text, bytes, or one of these. */
export type FileContent = string | Uint8Array | { readonly link: string } | { readonly run: string };

export class TestWorkspaces implements AsyncDisposable {
  readonly root: string;
  readonly warnings: string[] = [];
  readonly #forges = new Map<string, Forge>();
  #count = 0;

  constructor() {
    this.root = mkdtempSync(join(tmpdir(), "mic-workspace-"));
  }

  context(change: Partial<WorkspaceContext> = {}): WorkspaceContext {
    return {
      clock: systemClock,
      random: systemRandom,
      openForge: (address, options) => this.openForge(address, options?.create ?? false),
      author: "Ada <ada@example.org>",
      agent: "",
      warn: (message) => this.warnings.push(message),
      ...change,
    };
  }

  async openForge(address: string, create: boolean): Promise<Forge> {
    const known = this.#forges.get(address);
    if (known !== undefined) return known;
    const forge = await openDirectoryForge(address, { clock: systemClock, random: systemRandom, create });
    this.#forges.set(address, forge);
    return forge;
  }

  /** A forge under a URL, as one behind a socket would be. */
  addRemoteForge(address: string, wrap: (forge: Forge) => Forge = (forge) => forge): Forge {
    const store = new MemoryStore(systemClock);
    const forge = wrap(
      new ForgeService({ store, address, clock: systemClock, random: systemRandom, trustWriters: false }),
    );
    this.#forges.set(address, forge);
    return forge;
  }

  newDir(): string {
    this.#count += 1;
    const dir = join(this.root, `w${this.#count}`);
    mkdirSync(dir);
    return dir;
  }

  async init(files: Readonly<Record<string, FileContent>> = {}): Promise<TestWorkspace> {
    const dir = this.newDir();
    await initWorkspace(dir, {}, this.context());
    const workspace = this.open(dir);
    workspace.write(files);
    return workspace;
  }

  open(dir: string, change: Partial<WorkspaceContext> = {}): TestWorkspace {
    return new TestWorkspace(Workspace.openRoot(dir, this.context(change)));
  }

  async clone(
    from: TestWorkspace,
    options: { at?: number; paths?: readonly string[]; dir?: string } = {},
  ): Promise<TestWorkspace> {
    const dir = options.dir ?? this.newDir();
    await cloneWorkspace(
      {
        address: from.ws.forgeAddress,
        projectName: from.ws.settings.projectName,
        dir,
        ...(options.at === undefined ? {} : { at: options.at as Position }),
        ...(options.paths === undefined ? {} : { paths: options.paths.map(parseTreePath) }),
      },
      this.context(),
    );
    return this.open(dir);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const forge of this.#forges.values()) await forge[Symbol.asyncDispose]();
    rmSync(this.root, { recursive: true, force: true });
  }
}

export class TestWorkspace {
  readonly ws: Workspace;
  readonly dir: string;

  constructor(ws: Workspace) {
    this.ws = ws;
    this.dir = ws.root;
  }

  write(files: Readonly<Record<string, FileContent>>): void {
    for (const [name, content] of Object.entries(files)) {
      const path = join(this.dir, name);
      mkdirSync(dirname(path), { recursive: true });
      // A file is written in the place of a link, not through it.
      if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) rmSync(path);
      if (typeof content === "string" || content instanceof Uint8Array) writeFileSync(path, content);
      else if ("run" in content) {
        writeFileSync(path, content.run);
        chmodSync(path, 0o755);
      } else {
        rmSync(path, { force: true });
        symlinkSync(content.link, path);
      }
    }
  }

  remove(...names: string[]): void {
    for (const name of names) rmSync(join(this.dir, name), { recursive: true });
  }

  read(name: string): string {
    return readFileSync(join(this.dir, name), "utf8");
  }

  /** Every file outside `.mic`: `text`, `* text` when executable, `-> target`. */
  files(): Record<string, string> {
    const found: Record<string, string> = {};
    const walk = (dir: string): void => {
      for (const name of readdirSync(join(this.dir, dir)).sort()) {
        const path = dir === "" ? name : `${dir}/${name}`;
        if (path === ".mic") continue;
        const absolute = join(this.dir, path);
        const stats = lstatSync(absolute);
        if (stats.isDirectory()) {
          if (readdirSync(absolute).length === 0) found[`${path}/`] = "";
          walk(path);
        } else if (stats.isSymbolicLink()) found[path] = `-> ${readlinkSync(absolute)}`;
        else found[path] = `${(stats.mode & 0o100) === 0 ? "" : "* "}${readFileSync(absolute, "utf8")}`;
      }
    };
    walk("");
    return found;
  }

  async land(goal: string, options: Partial<LandOptions> = {}) {
    return landWorkspace(this.ws, { goal, ...options });
  }

  /** `op path` of every change. */
  async changes(): Promise<string[]> {
    // As a new process would see it.
    const fresh = Workspace.openRoot(this.dir, this.ws.context);
    return (await workspaceStatus(fresh)).changes.map(({ op, path }) => `${op} ${path}`);
  }

  get position(): number {
    return Workspace.openRoot(this.dir, this.ws.context).index.base.position;
  }
}

export function at(position: number): Position {
  return position as Position;
}

export function paths(...names: string[]): TreePath[] {
  return names.map(parseTreePath);
}
