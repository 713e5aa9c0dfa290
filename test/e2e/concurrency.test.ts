import { spawn } from "node:child_process";
import { once } from "node:events";
import { beforeAll, describe, expect, it } from "vitest";
import { readTree, World } from "./support.ts";

let world: World;
beforeAll(async () => {
  world = await World.create();
});

interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function start(dir: string, ...args: string[]): Promise<Finished> {
  const child = spawn(world.binary, ["--json", ...args], {
    cwd: world.path(dir),
    env: world.env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (data: Buffer) => {
    stdout += data.toString();
  });
  child.stderr.on("data", (data: Buffer) => {
    stderr += data.toString();
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

describe("commands at the same time", () => {
  it("thirteen of them in one workspace wait for each other and leave it whole", async () => {
    world.ok(["init", "busy"]);
    for (let i = 0; i < 9; i++) world.write(`busy/f${i}.txt`, `${i}\n`);
    const commands = [
      ...Array.from({ length: 5 }, (_, i) => ["land", `f${i}`, "--path", `f${i}.txt`]),
      ...Array.from({ length: 4 }, () => ["status"]),
      ...Array.from({ length: 3 }, () => ["sync"]),
      ["log"],
    ];
    const finished = await Promise.all(commands.map((args) => start("busy", ...args)));
    for (const [i, { code, stdout, stderr }] of finished.entries()) {
      expect({ command: commands[i], code, stderr, stdout }).toMatchObject({ code: 0 });
    }
    const positions = finished.slice(0, 5).map(({ stdout }) => JSON.parse(stdout).position as number);
    expect(positions.sort()).toEqual([1, 2, 3, 4, 5]);
    expect(world.json(["status"], { in: "busy" }).document).toMatchObject({
      position: 5,
      changes: [5, 6, 7, 8].map((i) => ({ op: "add", path: `f${i}.txt` })),
    });
    expect(world.json(["fsck"], { in: "busy" }).document.findings).toEqual([]);
  });

  it("four workspaces land to one forge: one position each, dense, nobody's change lost", async () => {
    world.ok(["init", "shared"]);
    world.write("shared/start.txt", "start\n");
    world.ok(["land", "start"], { in: "shared" });
    const names = ["w0", "w1", "w2", "w3"];
    for (const name of names) world.ok(["clone", "./shared", name]);
    const landings = names.map(async (name) => {
      const positions: number[] = [];
      for (let round = 0; round < 3; round++) {
        world.write(`${name}/${name}-${round}.txt`, `${name} ${round}\n`);
        const { code, stdout, stderr } = await start(name, "land", `${name} ${round}`, "--sync");
        expect({ code, stderr }).toMatchObject({ code: 0 });
        positions.push(JSON.parse(stdout).position);
      }
      return positions;
    });
    const positions = (await Promise.all(landings)).flat();
    expect(positions.sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, i) => i + 2));
    for (const name of ["shared", ...names]) world.ok(["sync"], { in: name });
    const tree = readTree(world.path("shared"));
    expect(Object.keys(tree)).toHaveLength(13);
    for (const name of names) expect(readTree(world.path(name))).toEqual(tree);
  });
});
