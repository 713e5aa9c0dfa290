import { expect, test } from "vitest";
import type { Position } from "../../src/core/base/ids.ts";
import { mintLandingId, mintProjectId, mintSessionId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { notifyingForge } from "../../src/server/live/notifying-forge.ts";
import { inPieces, putOf } from "../conformance/forge-blobs.ts";
import { TestProject } from "../support/forge-project.ts";

test("notifyingForge() tells of every change, and of nothing else", async () => {
  const told: string[] = [];
  const clock = systemClock;
  const store = new MemoryStore(clock);
  const inner = new ForgeService({
    store,
    address: "memory",
    clock,
    random: systemRandom,
    trustWriters: false,
  });
  const forge = notifyingForge(inner, {
    landed: (_, position) => told.push(`landed ${position}`),
    sessionChanged: (_, session) => told.push(`session ${session}`),
  });
  const takeTold = (): string[] => told.splice(0);

  expect(forge.address).toBe("memory");
  const project = await TestProject.create(forge, "acme/app");
  await forge.getHead(project.id);
  const stored = await forge.putBlob(project.id, inPieces(Buffer.from("x")));
  expect(takeTold()).toEqual([]);

  const request = project.request({ put: { a: "1" } });
  const landed = await forge.land(project.id, request);
  if (landed.kind !== "landed") throw new Error("conflict");
  expect(takeTold()).toEqual(["landed 1", `session ${landed.session}`]);

  const id = mintSessionId(systemRandom);
  await forge.startSession(project.id, { id, goal: "g", owner: "o" });
  await forge.recordOperations(project.id, id, [putOf("b", stored)]);
  await forge.recordDecision(project.id, id, "d");
  await forge.recordConversation(project.id, id, [{ role: "user", text: "m" }]);
  expect(takeTold()).toEqual(Array.from({ length: 4 }, () => `session ${id}`));
  const landing = { session: id, landingId: mintLandingId(systemRandom), author: "Ada", agent: "" };
  await forge.landSession(project.id, landing);
  expect(takeTold()).toEqual(["landed 2", `session ${id}`]);

  const lost = mintSessionId(systemRandom);
  await forge.startSession(project.id, { id: lost, goal: "g", owner: "o", base: project.base });
  await forge.recordOperations(project.id, lost, [putOf("a", stored)]);
  takeTold();
  const conflicting = { ...landing, session: lost, landingId: mintLandingId(systemRandom) };
  expect((await forge.landSession(project.id, conflicting)).kind).toBe("conflict");
  expect(takeTold()).toEqual([`session ${lost}`]);
  await forge.abandonSession(project.id, lost);
  expect(takeTold()).toEqual([`session ${lost}`]);

  const { salt } = await forge.getHead(project.id);
  const target = await forge.createProject({ id: mintProjectId(systemRandom), name: "acme/copy", salt });
  const first = await forge.getLanding(project.id, 1 as Position);
  const { frames } = request;
  await forge.importLandings(target.id, { after: project.base, landings: [first], packs: [], frames });
  expect(takeTold()).toEqual(["landed 1"]);
  const open = {
    ...(await forge.getSession(project.id, lost)),
    base: { position: 1 as Position, root: landed.root },
  };
  await forge.importSession(target.id, open);
  expect(takeTold()).toEqual([`session ${lost}`]);
});
