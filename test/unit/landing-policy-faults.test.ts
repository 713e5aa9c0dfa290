import { expect, test } from "vitest";
import { isMicError } from "../../src/core/base/errors.ts";
import type { LandingId, Position, ProjectId } from "../../src/core/base/ids.ts";
import type { Forge, LandRequest } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { FaultWorld } from "../../src/core/store/fault-store.ts";
import { FAULT_KINDS, type FaultRates } from "../../src/core/store/faults.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { landRequest } from "../support/project-fixture.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** Every way in which a swap can have no answer, a wrong one, or two; and reads that fail. */
const RATES: FaultRates = Object.fromEntries(
  FAULT_KINDS.filter((kind) => kind.startsWith("swap-") || kind === "read-timeout").map((kind) => [
    kind,
    0.08,
  ]),
);
const SEEDS = 30;
const WRITERS = 3;
const LANDINGS = 8;
const PROJECT = "5".repeat(32) as ProjectId;
const TOKEN = ["ghp", "q8Zr1Wk5VbT2mXc9LdJ7nYh3PfS6gRw4a0Q2"].join("_");

type Answer = "landed" | "conflict" | "refused" | "unknown";

interface Sent {
  readonly id: LandingId;
  readonly holdsSecret: boolean;
  readonly policy: "refuse" | "report" | undefined;
  answer: Answer;
}

async function send(forge: Forge, request: LandRequest): Promise<Answer> {
  try {
    return (await forge.land(PROJECT, request)).kind;
  } catch (error) {
    if (isMicError(error, "unsafe-path")) return "refused";
    if (!isMicError(error, "outcome-unknown") && !isMicError(error, "unreachable")) throw error;
    return "unknown";
  }
}

test("no secret follows a policy that refuses it, and what was refused never lands, whatever becomes of the answers", async () => {
  const answers = { landed: 0, conflict: 0, refused: 0, unknown: 0 };
  let late = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const clock = new VirtualClock();
    const random = new SeededRandom(seed);
    const inner = new MemoryStore(clock);
    const etags = seed % 2 === 0 ? "content" : "version";
    const world = new FaultWorld(inner, { clock, random, rates: RATES, etags });
    const open = (store: ConstructorParameters<typeof ForgeService>[0]["store"]): ForgeService =>
      new ForgeService({
        store,
        address: "faulty",
        clock,
        random,
        trustWriters: false,
        landTimeoutMs: 3_000,
      });
    const calm = open(inner);
    const sent: Sent[] = [];

    const write = async (writer: number, forges: readonly ForgeService[]): Promise<void> => {
      for (let i = 0; i < LANDINGS; i++) {
        const pick = random.bytes(1)[0]! % 4;
        const policy = pick === 0 ? "refuse" : pick === 1 ? "report" : undefined;
        const changes = policy === undefined ? { [`k${writer}-${i}`]: `${i} ${TOKEN}` } : {};
        const line = { ".micpolicy": `secrets = ${policy} # ${writer} ${i}\n` };
        const { position, root } = await calm.getHead(PROJECT);
        const request = landRequest({ position, root }, policy === undefined ? changes : line);
        const landing: Sent = {
          id: request.landingId,
          holdsSecret: policy === undefined,
          policy,
          answer: "unknown",
        };
        sent.push(landing);
        // Asked again by another process, as a client does that was not answered.
        for (let attempt = 0; attempt < 4 && landing.answer === "unknown"; attempt++) {
          landing.answer = await send(forges[(writer + attempt) % forges.length]!, request);
          if (attempt > 0 && landing.answer === "refused") late++;
        }
      }
    };
    const work = async (): Promise<void> => {
      await calm.createProject({ id: PROJECT, name: "acme/app" });
      const forges = Array.from({ length: WRITERS }, () => open(world.actor()));
      await Promise.all(forges.map((_, writer) => write(writer, forges)));
      await world.settle();
    };
    await clock.run(work());

    const what = `seed ${seed}`;
    const { position: head } = await calm.getHead(PROJECT);
    const landed = new Set<LandingId>();
    let policy = "report";
    for (let position = 1; position <= head; position++) {
      const { landingId } = await calm.getLanding(PROJECT, position as Position);
      const landing = sent.find(({ id }) => id === landingId)!;
      expect(landing.holdsSecret && policy === "refuse", `${what}: a secret at ${position}`).toBe(false);
      landed.add(landingId);
      policy = landing.policy ?? policy;
    }
    for (const { id, answer } of sent) {
      if (answer !== "unknown") expect(landed.has(id), `${what}: ${answer} ${id}`).toBe(answer === "landed");
      answers[answer]++;
    }
  }
  for (const answer of ["landed", "conflict", "refused", "unknown"] as const) {
    expect(answers[answer], answer).toBeGreaterThan(SEEDS / 4);
  }
  expect(late).toBeGreaterThan(0);
});
