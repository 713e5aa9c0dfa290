/**
 * Part of the story of a bucket: writers that land through servers which are killed meanwhile. A process of its own.
 *
 *   bun scripts/real/story-writers.ts NAME WRITERS LANDINGS PAUSE_MS PROJECT TOKEN ORIGIN…
 *
 * Each writer lands until LANDINGS of its own were acknowledged, half of them to a path of its own, half to a shared
 * one, with pauses of up to PAUSE_MS. A landing whose outcome is not known is sent again with the same id, to the next server, until it has an
 * answer. Prints one `StoryAttempt` per line.
 */
import { bytesToHex, utf8 } from "../../src/core/base/bytes.ts";
import { isMicError } from "../../src/core/base/errors.ts";
import { hashBytes } from "../../src/core/base/hash.ts";
import type { ObjectId } from "../../src/core/base/ids.ts";
import { parseTreePath } from "../../src/core/base/path.ts";
import { mintLandingId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge, LandRequest, LandResult } from "../../src/core/forge/forge.ts";
import type { Frame } from "../../src/core/objects/frame.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import { type StoryAttempt, storyPath } from "./story-attempts.ts";

/** One call; then the writer turns to another server. */
const CALL_MS_MAX = 8_000;
/** A landing without an answer for this long fails the run. */
const ANSWER_MS_MAX = 120_000;

const [name, writers, landings, pauseMs, project, token, ...origins] = process.argv.slice(2);

const forges = await Promise.all(
  origins.flatMap((origin) =>
    (["http", "grpc"] as const).map((transport) =>
      openRemoteForge(origin, {
        token: token!,
        clock: systemClock,
        random: systemRandom,
        timeoutMs: CALL_MS_MAX,
        transport,
      }),
    ),
  ),
);

interface Answered<T> {
  readonly value: T;
  /** Calls that failed before. */
  readonly failures: number;
}

/** Turns from forge to forge until one answers. Whoever gets another error than these has found a bug. */
async function persist<T>(from: number, call: (forge: Forge) => Promise<T>): Promise<Answered<T>> {
  const deadline = performance.now() + ANSWER_MS_MAX;
  for (let failures = 0; ; failures++) {
    try {
      return { value: await call(forges[(from + failures) % forges.length]!), failures };
    } catch (error) {
      const isOutage =
        isMicError(error) && ["unreachable", "outcome-unknown", "aborted"].includes(error.code);
      if (!isOutage || performance.now() > deadline) throw error;
      await Bun.sleep(50 + Math.random() * 250);
    }
  }
}

function frameOf(stored: Uint8Array, id: ObjectId): Frame {
  const { length } = stored;
  const object = { id, kind: "blob", offset: 0, length, sidecarLength: 0 } as const;
  return { compressed: false, rawLength: length, stored, objects: [object] };
}

async function writer(index: number): Promise<void> {
  const { id } = (await persist(index, (forge) => forge.getProject(project!))).value;
  let base = (await persist(index, (forge) => forge.getHead(id))).value;
  let landed = 0;
  for (let k = 0; landed < Number(landings); k++) {
    await Bun.sleep(Math.random() * Number(pauseMs));
    const goal = `${name} writer ${index} landing ${k}`;
    const path = storyPath(`${name}-${index}`, index, k);
    const content = utf8(`${goal}\n`);
    const object = bytesToHex(hashBytes(content)) as ObjectId;
    const entry = { kind: "file", size: content.length, id: object } as const;
    const request: LandRequest = {
      landingId: mintLandingId(systemRandom),
      base,
      goal,
      author: "Writer <writer@example.org>",
      agent: "",
      operations: [{ kind: "put", path: parseTreePath(path), entry, hint: 0 }],
      decisions: [],
      conversation: [],
      packs: [],
      frames: [frameOf(content, object)],
    };
    const { value, failures } = await persist<LandResult>(index + k, (forge) => forge.land(id, request));
    const attempt = { goal, path, landingId: request.landingId, failures };
    if (value.kind === "landed") {
      landed++;
      const { position, root } = value;
      say({ ...attempt, fate: { kind: "landed", position, root } });
      base = { ...base, position, root };
    } else {
      say({ ...attempt, fate: { kind: "refused" } });
      base = (await persist(index, (forge) => forge.getHead(id))).value;
    }
  }
}

function say(attempt: StoryAttempt): void {
  console.log(JSON.stringify(attempt));
}

await Promise.all(Array.from({ length: Number(writers) }, (_, i) => writer(i)));
process.exit(0);
