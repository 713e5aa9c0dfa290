/**
 * What sessions cost while a project has many open ones: every call of a session's life, with its latencies. Takes
 * any forge; run by itself it makes the sessions in a local store and measures in process.
 *
 *   bun scripts/bench/sessions.ts [--sessions 100000] [--landings 2000] [--calls 300]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { ProjectId, SessionId } from "../../src/core/base/ids.ts";
import { parseTreePath } from "../../src/core/base/path.ts";
import { mintLandingId, mintProjectId, mintSessionId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { encodeSession } from "../../src/core/codec/session.ts";
import type { Forge, Operation, PositionRef, StoredContent } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { sessionKey } from "../../src/core/objects/keys.ts";
import { openLocalStore } from "../../src/core/store/local-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";

const OWNERS = 100;
const COMMIT_SESSIONS = 1000;
const AUTHOR = { author: "Bench <bench@example.org>", agent: "bench" };

export interface SessionLatencies {
  readonly call: string;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

function putOf(path: string, stored: StoredContent): Operation {
  return { kind: "put", path: parseTreePath(path), entry: { kind: "file", ...stored }, hint: 0 };
}

/** Every call of a session's life, `calls` times, `together` at once. */
export async function benchSessions(
  forge: Forge,
  project: ProjectId,
  options: { readonly calls: number; readonly together: number; readonly base?: PositionRef },
): Promise<SessionLatencies[]> {
  const { calls, together, base } = options;
  const results: SessionLatencies[] = [];
  const ids: SessionId[] = [];
  const measure = async (call: string, run: (i: number) => Promise<unknown>): Promise<void> => {
    const latencies: number[] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let i = next++; i < calls; i = next++) {
        const start = performance.now();
        await run(i);
        latencies.push(performance.now() - start);
      }
    };
    await Promise.all(Array.from({ length: together }, worker));
    latencies.sort((a, b) => a - b);
    const at = (share: number): number => latencies[Math.floor((latencies.length - 1) * share)]!;
    results.push({ call, p50: at(0.5), p99: at(0.99) });
  };
  await measure("startSession", async (i) => {
    ids[i] = mintSessionId(systemRandom);
    const on = base === undefined ? {} : { base };
    await forge.startSession(project, {
      id: ids[i]!,
      goal: `Work ${i}`,
      owner: `owner-${i % OWNERS}`,
      ...on,
    });
  });
  await measure("putBlob + recordOperations", async (i) => {
    const stored = await forge.putBlob(project, once(systemRandom.bytes(1024)));
    await forge.recordOperations(project, ids[i]!, [putOf(`work/${ids[i]}/file`, stored)]);
  });
  await measure("recordDecision", (i) => forge.recordDecision(project, ids[i]!, `because ${i}`));
  await measure("recordConversation", (i) =>
    forge.recordConversation(project, ids[i]!, [{ role: "user", text: `do ${i}` }]),
  );
  await measure("getSession", (i) => forge.getSession(project, ids[i]!));
  await measure("listSessions", () => forge.listSessions(project, {}));
  await measure("listSessions of a state", () => forge.listSessions(project, { state: "open", limit: 50 }));
  await measure("listSessions of an owner", (i) =>
    forge.listSessions(project, { owner: `owner-${i % OWNERS}`, limit: 50 }),
  );
  await measure("listSessions of nobody", () => forge.listSessions(project, { owner: "nobody" }));
  await measure("listSessions that landed", () => forge.listSessions(project, { state: "landed" }));
  await measure("landSession", (i) =>
    forge.landSession(project, { session: ids[i]!, landingId: mintLandingId(systemRandom), ...AUTHOR }),
  );
  return results;
}

/** Open sessions, written as objects: as if they had been started one by one. */
export async function writeSessions(
  store: ObjectStore,
  project: ProjectId,
  count: number,
  base: PositionRef,
): Promise<void> {
  for (let start = 0; start < count; start += COMMIT_SESSIONS) {
    const puts = Array.from({ length: Math.min(COMMIT_SESSIONS, count - start) }, (_, k) => {
      const id = mintSessionId(systemRandom);
      const bytes = encodeSession({
        id,
        state: "open",
        basePosition: base.position,
        baseRoot: base.root,
        owner: `owner-${(start + k) % OWNERS}`,
        created: 1n,
        updated: 1n,
        goal: `Work number ${start + k}`,
        operations: [],
        decisions: ["one"],
        conversation: [{ role: "user", text: "a message of usual length, more or less" }],
        recentWrites: [],
      });
      return { key: sessionKey(project, id), bytes };
    });
    const [swap, ...rest] = puts;
    await store.commit(rest, { ...swap!, expected: null });
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      sessions: { type: "string", default: "100000" },
      landings: { type: "string", default: "2000" },
      calls: { type: "string", default: "300" },
    },
  });
  const directory = mkdtempSync(join(process.env["MIC_BENCH_DIRECTORY"] ?? "/dev/shm", "mic-sessions-"));
  try {
    const store = await openLocalStore(directory, { clock: systemClock, create: true });
    const clock = systemClock;
    await using forge = new ForgeService({
      store,
      address: directory,
      clock,
      random: systemRandom,
      trustWriters: false,
    });
    const project = mintProjectId(systemRandom);
    await forge.createProject({ id: project, name: "bench/sessions" });
    const { position, root } = await forge.getHead(project);
    const start = { position, root };
    await writeSessions(store, project, Number(values.sessions), start);
    for (const [title, landings] of [
      ["new project", 0],
      [`after ${values.landings} landings, from a base before them`, Number(values.landings)],
    ] as const) {
      await landMany(forge, project, landings);
      console.log(`${values.sessions} open sessions, ${title}`);
      const calls = Number(values.calls);
      for (const { call, p50, p99 } of await benchSessions(forge, project, {
        calls,
        together: 16,
        base: start,
      })) {
        console.log(
          `  ${call.padEnd(28)} p50 ${p50.toFixed(1).padStart(7)} ms  p99 ${p99.toFixed(1).padStart(7)} ms`,
        );
      }
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function landMany(forge: Forge, project: ProjectId, count: number): Promise<void> {
  let done = 0;
  const lander = async (): Promise<void> => {
    while (done < count) {
      const i = done++;
      const stored = await forge.putBlob(project, once(systemRandom.bytes(100)));
      const { position, root } = await forge.getHead(project);
      await forge.land(project, {
        landingId: mintLandingId(systemRandom),
        base: { position, root },
        goal: `Land ${i}`,
        ...AUTHOR,
        operations: [putOf(`landed/${i}`, stored)],
        decisions: [],
        conversation: [],
        packs: [],
        frames: [],
      });
    }
  };
  await Promise.all(Array.from({ length: 64 }, lander));
}

if (import.meta.main) await main();
