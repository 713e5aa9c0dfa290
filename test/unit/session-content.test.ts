import { describe, expect, test } from "vitest";
import type { Clock } from "../../src/core/base/clock.ts";
import { mintLandingId, mintSessionId } from "../../src/core/base/random.ts";
import { systemRandom } from "../../src/core/base/system.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { inPieces, putOf } from "../conformance/forge-blobs.ts";
import { TestProject } from "../support/forge-project.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** Ten minutes before the store's day ends. */
const LATE = Date.UTC(2026, 0, 1, 23, 50);

describe("a session lands content", () => {
  test.each([
    { name: "that a machine recorded whose clock shows the next day already", aheadMs: 20 * MINUTE_MS },
    { name: "that was stored three days before it was started", storedBeforeMs: 3 * DAY_MS },
  ])("$name, days later", async ({ aheadMs = 0, storedBeforeMs = 0 }) => {
    const clock = new VirtualClock(LATE);
    const store = new MemoryStore(clock);
    const open = (shown: Clock): ForgeService =>
      new ForgeService({ store, address: "memory", clock: shown, random: systemRandom, trustWriters: true });
    const steady = open(clock);
    const ahead = open({
      nowMs: () => clock.nowMs() + aheadMs,
      sleep: (durationMs, signal) => clock.sleep(durationMs, signal),
    });
    const { id } = await TestProject.create(steady, "acme/app");
    const session = mintSessionId(systemRandom);
    const content = Buffer.from("recorded, and landed much later");
    const stored = await steady.putBlob(id, inPieces(content));
    const base = await steady.getHead(id);
    const pass = (ms: number): Promise<void> => clock.run(clock.sleep(ms));
    await pass(storedBeforeMs);
    await ahead.startSession(id, { id: session, goal: "much later", owner: "Ada", base });
    await ahead.recordOperations(id, session, [putOf("a", stored)]);
    await pass(9 * DAY_MS + 15 * MINUTE_MS);
    const request = { session, landingId: mintLandingId(systemRandom), author: "Ada", agent: "" };
    expect(await steady.landSession(id, request)).toMatchObject({ kind: "landed", position: 1 });
  });
});
