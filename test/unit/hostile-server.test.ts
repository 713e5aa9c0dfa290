/**
 * Workspace commands against servers that lie, over real sockets. Whatever they say: the workspace stays as it
 * was, and the command says what is wrong. Answers that are no answers at all: `remote-hostile.test.ts`.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { EMPTY_ROOT, type ObjectId, type Position } from "../../src/core/base/ids.ts";
import type { TreePath } from "../../src/core/base/path.ts";
import type { FetchItem, Forge, TreeChange } from "../../src/core/forge/forge.ts";
import type { Frame } from "../../src/core/objects/frame.ts";
import { cloneWorkspace } from "../../src/core/workspace/commands/clone.ts";
import { gotoPosition } from "../../src/core/workspace/commands/goto.ts";
import { syncWorkspace } from "../../src/core/workspace/commands/sync.ts";
import { path, TestProject } from "../support/forge-project.ts";
import {
  BOMB_BYTES,
  FORBIDDEN_PATHS,
  HOSTILE_TREES,
  lyingFrames,
  repeated,
} from "../support/hostile-inputs.ts";
import type { HostileEntry } from "../support/hostile-landing.ts";
import { forgeWithTree, lyingForge } from "../support/lying-forge.ts";
import { LyingServer } from "../support/lying-server.ts";
import { at, type TestWorkspace, TestWorkspaces } from "../support/workspaces.ts";

let server: LyingServer;
let spaces: TestWorkspaces;
let project: TestProject;
let count = 0;

beforeAll(async () => {
  server = await LyingServer.start();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  server.lie();
  spaces = new TestWorkspaces();
  project = await TestProject.create(server.forge, `acme/app-${++count}`);
  await project.land({ put: { f: "1\n", "d/x": "1\n" } });
});
afterEach(async () => {
  await spaces[Symbol.asyncDispose]();
});

function cloneOptions(dir: string) {
  return { address: server.forge.address, projectName: `acme/app-${count}`, dir };
}

/** Of the first landing, before the lies. */
async function workspace(paths?: readonly TreePath[]): Promise<TestWorkspace> {
  const dir = spaces.newDir();
  const options = { ...cloneOptions(dir), ...(paths === undefined ? {} : { paths }) };
  await cloneWorkspace(options, spaces.context(server.context()));
  return spaces.open(dir, server.context());
}

const REFUSED = /^(unsafe-path|corrupt|too-large)$/;

async function expectNoClone(code: RegExp | string = REFUSED): Promise<void> {
  const dir = spaces.newDir();
  const cloned = cloneWorkspace(cloneOptions(dir), spaces.context(server.context()));
  await expect(cloned).rejects.toMatchObject({ code: expect.stringMatching(code) });
  expect(readdirSync(dir)).toEqual([".mic"]);
}

/** `b` is at the first landing and stays there, whatever it is told of the next. */
async function expectNoMove(b: TestWorkspace, code: RegExp | string = REFUSED, all = true): Promise<void> {
  const before = b.files();
  const refused = { code: expect.stringMatching(code) };
  const open = () => spaces.open(b.dir, server.context()).ws;
  await expect(syncWorkspace(open())).rejects.toMatchObject(refused);
  for (const policy of all ? [{}, { keep: true }, { discard: true }] : []) {
    await expect(gotoPosition(open(), at(2), policy)).rejects.toMatchObject(refused);
  }
  const same = spaces.open(b.dir, server.context());
  expect(same.files()).toEqual(before);
  expect(same.position).toBe(1);
  expect(readdirSync(join(b.dir, ".mic"))).not.toContain("transition");
}

const kept: readonly HostileEntry[] = [
  { path: "f", content: "1\n" },
  { path: "d/x", content: "1\n" },
];

describe("a server with a tree that must not be written", () => {
  test.each(HOSTILE_TREES)("clone, goto and sync of %s write nothing", async (_, entries) => {
    const b = await workspace();
    server.lie((real) => forgeWithTree(real, [...kept, ...entries]));
    await expectNoClone();
    await expectNoMove(b);
  });

  test("no forbidden path comes through", async () => {
    const b = await workspace();
    for (const bad of FORBIDDEN_PATHS) {
      const sound = { path: "sound", content: "fine\n" };
      server.lie((real) => forgeWithTree(real, [...kept, sound, { path: bad, content: "evil\n" }]));
      await expectNoClone();
      await expectNoMove(b, REFUSED, false);
    }
  });

  test.each([
    ["README and readme", ["README", "readme"]],
    ["two spellings of é", ["caf\u00e9", "cafe\u0301"]],
    ["A beside a/hook", ["A", "a/hook"]],
  ])("%s are not written where names fold", async (_, names) => {
    const b = await workspace();
    b.ws.saveSettings({ ...b.ws.settings, folding: { case: true, normalization: true } });
    const twins = names.map((name) => ({ path: name, content: "2\n" }));
    server.lie((real) => forgeWithTree(real, [...kept, ...twins]));
    await expectNoMove(b, "unsafe-path");
  });

  test.each([
    ["new", "unsafe-path"],
    ["there already, so that nobody would ask what is above it", "corrupt"],
  ])(
    "a file below a link is not written through it, though the server says that it is %s",
    async (said, code) => {
      await project.land({ put: { s: { kind: "symlink", content: ".mic" } }, delete: ["f", "d/x"] });
      const dir = spaces.newDir();
      await cloneWorkspace(cloneOptions(dir), spaces.context(server.context()));
      const settings = utf8("evil\n");
      const entry = { kind: "file", size: settings.length, id: hashObject(settings) } as const;
      const change: TreeChange = {
        path: path("s/settings"),
        before: said === "new" ? undefined : { entry, hint: 1 },
        after: { entry: { ...entry, kind: "executable" }, hint: 1 },
      };
      server.lie((real) =>
        lyingForge(real, {
          getHead: async (id) => ({ ...(await real.getHead(id)), position: 3 as Position, root: entry.id }),
          getPosition: async (id, position) =>
            position === 3 ? { position, root: entry.id } : await real.getPosition(id, position),
          async *fetch() {
            yield { kind: "changes", changes: [change] };
          },
          async *diff() {
            yield [change];
          },
        }),
      );
      const open = () => spaces.open(dir, server.context());
      await expect(syncWorkspace(open().ws)).rejects.toMatchObject({ code });
      const paths = [path("s/settings")];
      await expect(gotoPosition(open().ws, at(3), { paths })).rejects.toMatchObject({ code });
      expect(open().files()).toEqual({ s: "-> .mic" });
      expect(readdirSync(join(dir, ".mic"))).not.toContain("transition");
    },
  );
});

describe("a server that sends other content than it names", () => {
  const text = "two\n";

  test.each(lyingFrames(utf8(text)))(
    "%s is refused by clone and sync, in little memory",
    async (_, frame) => {
      const b = await workspace();
      await project.land({ put: { f: text, g: repeated(utf8(text)) } });
      server.lie((real) => framesOf(real, frame));
      const before = process.memoryUsage.rss();
      await expectNoClone();
      await expectNoMoveByContent(b);
      expect(process.memoryUsage.rss() - before).toBeLessThan(BOMB_BYTES / 2);
    },
  );

  /** Everything but what the frame claims to hold comes as it should: it alone is what can be refused. */
  function framesOf(real: Forge, frame: Frame): Forge {
    const claimed = new Set(frame.objects.map(({ id }) => id));
    const frames = [utf8(text), repeated(utf8(text)), utf8("1\n")].map((content): Frame => {
      const { length } = content;
      const id = hashObject(content);
      const object = { id, kind: "blob", offset: 0, length, sidecarLength: 0 } as const;
      return claimed.has(id)
        ? frame
        : { compressed: false, rawLength: length, stored: content, objects: [object] };
    });
    if (claimed.size === 0 || !frames.includes(frame)) frames[0] = frame;
    return lyingForge(real, {
      async *fetch(id, request, options): AsyncGenerator<FetchItem> {
        for await (const item of real.fetch(id, request, options)) {
          if (item.kind !== "frame") yield item;
        }
        // Of the first landing a clone needs one file more.
        for (const each of request.from === 0 ? frames : frames.slice(0, 2))
          yield { kind: "frame", frame: each };
      },
      async *readObjects(_project, wants) {
        for (const each of frames) {
          if (each === frame || wants.some(({ id }) => each.objects[0]!.id === id)) yield each;
        }
      },
    });
  }

  /** What a file is to hold is known only when it is written: the journal may stay, to be finished later. */
  async function expectNoMoveByContent(b: TestWorkspace): Promise<void> {
    const before = b.files();
    const open = () => spaces.open(b.dir, server.context());
    for (let i = 0; i < 2; i++) {
      await expect(syncWorkspace(open().ws)).rejects.toMatchObject({ code: expect.stringMatching(REFUSED) });
      expect(open().files()).toEqual(before);
    }
    server.lie();
    await syncWorkspace(open().ws);
    expect(open().files()).toMatchObject({ f: text });
    expect(open().position).toBe(2);
  }
});

describe("a server whose list is not the tree it names", () => {
  const lies: readonly (readonly [string, (changes: TreeChange[]) => TreeChange[]])[] = [
    ["a file is missing", (changes) => changes.slice(1)],
    ["a file has another name", ([a, ...rest]) => [{ ...a!, path: path("a") }, ...rest]],
    ["a file is executable", (changes) => changes.map((each) => withEntry(each, { kind: "executable" }))],
    ["a file is a link", (changes) => changes.map((each) => withEntry(each, { kind: "symlink" }))],
    ["a file has another's content", ([a, b]) => [{ ...a!, after: b!.after }, b!]],
    ["there is one more", (changes) => [...changes, { ...changes[1]!, path: path("g") }]],
    ["there is none", () => []],
  ];

  function withEntry(change: TreeChange, other: { readonly kind: "executable" | "symlink" }): TreeChange {
    const { after } = change;
    return { ...change, after: { ...after!, entry: { ...after!.entry, ...other } } };
  }

  function changed(real: Forge, lie: (changes: TreeChange[]) => TreeChange[]): Forge {
    return lyingForge(real, {
      async *fetch(id, request, options) {
        for await (const item of real.fetch(id, request, options)) {
          yield item.kind === "changes" ? { ...item, changes: lie([...item.changes]) } : item;
        }
      },
    });
  }

  test.each(lies)("%s: no clone", async (_, lie) => {
    await project.land({ put: { f: "2\n" } });
    server.lie((real) => changed(real, lie));
    await expectNoClone("corrupt");
  });

  test("another salt, another root: no clone", async () => {
    server.lie((real) =>
      lyingForge(real, {
        getProject: async (id) => ({ ...(await real.getProject(id)), salt: "ab".repeat(8) }),
      }),
    );
    await expectNoClone("corrupt");
    server.lie((real) =>
      lyingForge(real, {
        getHead: async (id) => ({ ...(await real.getHead(id)), root: "cd".repeat(32) as ObjectId }),
      }),
    );
    await expectNoClone("corrupt");
  });

  test("a clone that was refused is finished when the server says the truth", async () => {
    server.lie((real) => changed(real, lies[0]![1]));
    const dir = spaces.newDir();
    const clone = () => cloneWorkspace(cloneOptions(dir), spaces.context(server.context()));
    await expect(clone()).rejects.toMatchObject({ code: "corrupt" });
    server.lie();
    await clone();
    expect(spaces.open(dir, server.context()).files()).toEqual({ f: "1\n", "d/x": "1\n" });
  });

  test("changes that start from something else than the base are refused", async () => {
    const b = await workspace();
    await project.land({ put: { f: "2\n", g: "2\n" } });
    const known = { entry: { kind: "file", size: 2, id: hashObject(utf8("1\n")) }, hint: 1 } as const;
    const lies: ((change: TreeChange) => TreeChange)[] = [
      (each) => ({ ...each, before: undefined }),
      (each) => ({ ...each, before: known }),
      (each) => ({ ...each, before: each.after }),
    ];
    for (const lie of lies) {
      server.lie((real) => changed(real, (changes) => changes.map(lie)));
      await expectNoMove(b, "corrupt");
    }
  });

  test("what a workspace of a part did not ask for is refused", async () => {
    const b = await workspace([path("d")]);
    await project.land({ put: { "d/x": "2\n", f: "2\n" } });
    server.lie((real) =>
      lyingForge(real, { fetch: (id, { from, to }, options) => real.fetch(id, { from, to }, options) }),
    );
    await expectNoMove(b, "corrupt");
    const dir = spaces.newDir();
    const part = { ...cloneOptions(dir), paths: [path("d")] };
    await expect(cloneWorkspace(part, spaces.context(server.context()))).rejects.toMatchObject({
      code: "corrupt",
    });
    expect(readdirSync(dir)).toEqual([".mic"]);
  });
});

describe("a server that tells another history", () => {
  test.each([
    ["that ends before the base", { position: 0 as Position, root: EMPTY_ROOT }],
    ["with another tree at the base", { root: "cd".repeat(32) as ObjectId }],
  ])("%s is another history", async (_, lie) => {
    const b = await workspace();
    server.lie((real) =>
      lyingForge(real, { getHead: async (id) => ({ ...(await real.getHead(id)), ...lie }) }),
    );
    await expectNoMove(b, "history-changed", false);
  });

  test("a landing that it places at or before its base has an unknown outcome, and is kept", async () => {
    const b = await workspace();
    b.write({ f: "mine\n" });
    for (const position of [0, 1]) {
      server.lie((real) =>
        lyingForge(real, {
          land: async () => ({
            kind: "landed",
            position: position as Position,
            root: EMPTY_ROOT,
            session: "00".repeat(16) as never,
          }),
        }),
      );
      await expect(spaces.open(b.dir, server.context()).land("mine")).rejects.toMatchObject({
        code: "outcome-unknown",
      });
      expect(b.files()).toMatchObject({ f: "mine\n" });
    }
    server.lie();
    await syncWorkspace(spaces.open(b.dir, server.context()).ws);
    expect(spaces.open(b.dir, server.context()).position).toBe(2);
    expect(await project.read(2, "f")).toBe("mine\n");
  });
});

test("a large file in other chunks than its own is refused", async () => {
  const big = Buffer.alloc(1_200_000, "0123456789abcdef");
  const b = await workspace();
  await project.land({ put: { big } });
  server.lie((real) =>
    lyingForge(real, {
      async *readFile() {
        yield new Uint8Array(big.length);
      },
      async *readObjects() {
        const content = new Uint8Array(1000);
        const object = {
          id: hashObject(content),
          kind: "blob",
          offset: 0,
          length: 1000,
          sidecarLength: 0,
        } as const;
        yield { compressed: false, rawLength: 1000, stored: content, objects: [object] };
      },
    }),
  );
  await expectNoClone("corrupt");
  const open = () => spaces.open(b.dir, server.context());
  await expect(syncWorkspace(open().ws)).rejects.toMatchObject({ code: "corrupt" });
  expect(open().files()).toEqual({ f: "1\n", "d/x": "1\n" });
  server.lie();
  await syncWorkspace(open().ws);
  expect(open().read("big").length).toBe(big.length);
});
