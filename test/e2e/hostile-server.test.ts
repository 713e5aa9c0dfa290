/** The built executable against a server that lies: exit codes, words, and a workspace that stays what it was. */
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import type { Position } from "../../src/core/base/ids.ts";
import type { FetchItem, Forge } from "../../src/core/forge/forge.ts";
import type { Frame } from "../../src/core/objects/frame.ts";
import { TestProject } from "../support/forge-project.ts";
import { lyingFrames } from "../support/hostile-inputs.ts";
import { forgeWithTree, lyingForge } from "../support/lying-forge.ts";
import { LyingServer } from "../support/lying-server.ts";
import { TOKEN } from "../support/wire-server.ts";
import { type RunOptions, readTree, World } from "./support.ts";

let world: World;
let server: LyingServer;
let project: TestProject;
const work = { in: "b" };

beforeAll(async () => {
  world = await World.create();
  server = await LyingServer.start();
  project = await TestProject.create(server.forge, "ada/notes");
  await project.land({ put: { f: "1\n" } });
  expect(await run(["clone", `${server.url}/ada/notes`, "b"])).toMatchObject({ code: 0 });
  await project.land({ put: { f: "2\n" } });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

async function run(args: readonly string[], options: RunOptions = {}) {
  const { code, stdout } = await world.start(["--json", ...args], {
    ...options,
    env: { MIC_TOKEN: TOKEN, MIC_SERVER: server.url },
  });
  return { code, document: JSON.parse(stdout) };
}

let clones = 0;

async function expectRefused(make: (real: Forge) => Forge, code: RegExp): Promise<void> {
  server.lie(make);
  const refused = { code: 1, document: { error: { code: expect.stringMatching(code) } } };
  const dir = `c${++clones}`;
  expect(await run(["clone", `${server.url}/ada/notes`, dir])).toMatchObject(refused);
  expect(readdirSync(world.path(dir))).toEqual([".mic"]);
  for (const args of [["sync"], ["goto", "2"], ["goto", "2", "--discard"]]) {
    expect(await run(args, work), args.join(" ")).toMatchObject(refused);
  }
  expect(readTree(world.path("b"))).toEqual({ f: "1\n" });
}

const kept = { path: "f", content: "1\n" };

describe("a server that lies", () => {
  it.each([
    ["of a hook", [{ path: ".git/hooks/post-checkout", content: "evil" }], /^corrupt$/],
    ["of a way out", [{ path: "../escaped", content: "evil" }], /^corrupt$/],
    [
      "of a link with a file below it",
      [
        { path: "s", content: "..", kind: "symlink" },
        { path: "s/escaped", content: "evil" },
      ],
      /^unsafe-path$/,
    ],
  ] as const)("%s: nothing is written", async (_, entries, code) => {
    const listing = readdirSync(world.dir).sort();
    await expectRefused((real) => forgeWithTree(honestFirst(real), [kept, ...entries]), code);
    expect(readdirSync(world.dir).sort()).toEqual([...listing, `c${clones}`].sort());
    server.lie();
  });

  /** As if the second landing were not there: the lie takes its place. */
  function honestFirst(real: Forge): Forge {
    return lyingForge(real, {
      getHead: async (id) => {
        const { root } = await real.getPosition(id, 1 as Position);
        return { ...(await real.getHead(id)), position: 1 as Position, root };
      },
    });
  }

  it.each(lyingFrames(utf8("2\n")).filter(([, { compressed }]) => !compressed))(
    "of content, with %s: no file changes, and the next command puts it right",
    async (_, frame) => {
      await expectRefused((real) => withFrames(real, [frame]), /^corrupt$/);
    },
  );

  it("without end: the command ends all the same", async () => {
    const content = utf8("2\n");
    const object = { id: hashObject(content), kind: "blob", offset: 0, length: 2, sidecarLength: 0 } as const;
    const frame = { compressed: false, rawLength: 2, stored: content, objects: [object] };
    const forever = {
      *[Symbol.iterator]() {
        for (;;) yield frame;
      },
    };
    server.lie((real) => withFrames(real, forever));
    expect(await run(["clone", `${server.url}/ada/notes`, "endless"])).toMatchObject({
      code: 1,
      document: { error: { code: "corrupt" } },
    });
    expect(readdirSync(world.path("endless"))).toEqual([".mic"]);
  });

  it("and says the truth in the end: the same commands finish", async () => {
    server.lie();
    expect(await run(["sync"], work)).toMatchObject({ code: 0, document: { position: 2 } });
    expect(await run(["clone", `${server.url}/ada/notes`, "endless"])).toMatchObject({ code: 0 });
    for (const dir of ["b", "endless"]) expect(readTree(world.path(dir))).toEqual({ f: "2\n" });
    world.write("b/f", "3\n");
    expect(await run(["land", "three"], work)).toMatchObject({ code: 0, document: { position: 3 } });
  });
});

function withFrames(real: Forge, frames: Iterable<Frame>): Forge {
  return lyingForge(real, {
    async *fetch(id, request, options): AsyncGenerator<FetchItem> {
      for await (const item of real.fetch(id, request, options)) if (item.kind !== "frame") yield item;
      for (const frame of frames) yield { kind: "frame", frame };
    },
    async *readObjects() {
      yield* frames;
    },
  });
}
