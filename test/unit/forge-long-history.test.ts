import { beforeAll, expect, test } from "vitest";
import type { Position } from "../../src/core/base/ids.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { collect, path, TestProject } from "../support/forge-project.ts";

const LANDINGS = 1000;
const LINES = 50;

/** Landing N changes line N mod 50 of a text, and a file of its own that one in ten landings shares. */
let forge: ForgeService;
let project: TestProject;
const text = Array.from({ length: LINES }, (_, i) => `line ${i}`);
const lastChange = new Array<number>(LINES).fill(1);

beforeAll(async () => {
  const ports = { clock: systemClock, random: systemRandom };
  const options = { address: "memory", ...ports, trustWriters: true };
  forge = new ForgeService({ store: new MemoryStore(systemClock), ...options });
  project = await TestProject.create(forge, "acme/app");
  await project.land({ goal: "landing 1", put: { text: `${text.join("\n")}\n`, "d/0": "0" } });
  for (let n = 2; n <= LANDINGS; n++) {
    text[n % LINES] = `line ${n % LINES} of landing ${n}`;
    lastChange[n % LINES] = n;
    const author = n % 100 === 0 ? "Grace" : "Ada";
    const put = { text: `${text.join("\n")}\n`, [`d/${n % 10}`]: `${n}` };
    await project.land({ goal: `landing ${n}`, put, author });
  }
});

test("the log lists every landing once, newest first", async () => {
  const positions: number[] = [];
  for await (const page of forge.listLandings(project.id, {})) {
    positions.push(...page.map((landing) => landing.position));
  }
  expect(positions).toEqual(Array.from({ length: LANDINGS }, (_, i) => LANDINGS - i));
});

test("path and author filters find the landings they should", async () => {
  const touched = await collect(forge.listLandings(project.id, { paths: [path("d/3")] }));
  expect(touched).toHaveLength(LANDINGS / 10);
  const below = await collect(forge.listLandings(project.id, { paths: [path("d")] }));
  expect(below).toHaveLength(LANDINGS);
  const byGrace = await collect(forge.listLandings(project.id, { author: "grace" }));
  expect(byGrace).toHaveLength(LANDINGS / 100);
});

test("blame names the landing of every line", async () => {
  const lines = await forge.blame(project.id, LANDINGS as Position, path("text"));
  expect(lines.map((line) => line.text)).toEqual(text);
  expect(lines.map((line) => line.position)).toEqual(lastChange);
});

test("any position can be read, and any two compared", async () => {
  expect(await project.read(500, "text")).toContain("of landing 500\n");
  expect(await project.read(500, "text")).not.toContain("of landing 501\n");
  const changes = await collect(forge.diff(project.id, { from: 499 as Position, to: 500 as Position }));
  expect(changes.map((change) => change.path)).toEqual(["d/0", "text"]);
});

test("the session of an old landing is read from the log", async () => {
  const { session } = await forge.getLanding(project.id, 7 as Position);
  expect(await forge.getSession(project.id, session)).toMatchObject({ landedAt: 7, goal: "landing 7" });
});

test("fsck() checks all of it", async () => {
  const report = await forge.fsck(project.id);
  expect(report).toMatchObject({ positions: LANDINGS, findings: [] });
});
