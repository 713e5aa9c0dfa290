/** Compares what is stored in the end, and what everybody saw on the way, with the log. */
import { POSITION_ZERO, type Position } from "../../../src/core/base/ids.ts";
import { isWithin, type TreePath } from "../../../src/core/base/path.ts";
import type { Operation } from "../../../src/core/forge/forge.ts";
import { findConflicts } from "../../../src/core/forge/landing/conflicts.ts";
import type { Snapshot } from "../../../src/core/forge/log/snapshot.ts";
import type { ForgeService } from "../../../src/core/forge/service.ts";
import type { SeededRandom } from "../../support/seeded-random.ts";
import { type AuditSummary, auditLog, clash, type Logged, must, readLog } from "../auditor.ts";
import type { LifeProject } from "./project.ts";
import type { WorkedSession } from "./session-worker.ts";
import { digestOfTree } from "./tree-digest.ts";

/** Questions about conflicts that are asked of the filters and of the whole log. */
const QUESTIONS = 12;

export async function auditProject(
  forge: ForgeService,
  snapshot: Snapshot,
  project: LifeProject,
  random: SeededRandom,
): Promise<AuditSummary> {
  const log = await readLog(snapshot);
  const summary = auditLog(log, [...project.authors, ...project.workers]);
  checkSightings(log, project);
  await checkSessions(forge, log, project);
  await checkFilters(snapshot, log, random);
  await checkHistory(forge, log, project, random);
  const { findings } = await forge.fsck(project.id);
  // A rollup is worth a warning elsewhere. Here nothing is lost but by a bug.
  const errors = findings.filter(({ severity, code }) => severity === "error" || code === "rollup");
  must(errors.length === 0, `fsck finds ${JSON.stringify(errors.slice(0, 3))}`);
  return summary;
}

function checkSightings(log: readonly Logged[], project: LifeProject): void {
  for (const { by, position, digest } of project.trees) {
    must(digestOfTree(treeAt(log, position)) === digest, `${by} saw another tree at ${position}`);
  }
  for (const { by, after, upTo, path, positions } of project.logs) {
    const expected = touching(log, after, upTo, path);
    const said = JSON.stringify(positions);
    must(said === JSON.stringify(expected), `${by} was told that ${said} touched ${path}, not ${expected}`);
  }
  for (const { by, session, landedAt, head } of project.landedSessions) {
    const really = landingOf(log, session);
    if (landedAt !== undefined) must(really === landedAt, `${by} saw ${session} landed at ${landedAt}`);
    else must(really === undefined || really > head, `${by} did not see that ${session} landed at ${really}`);
  }
}

function treeAt(log: readonly Logged[], position: number): ReadonlyMap<TreePath, { entry: never }> {
  return new Map([...log[position]!.files].map(([path, entry]) => [path, { entry: entry as never }]));
}

/** Newest first. */
function touching(log: readonly Logged[], after: Position, upTo: Position, path: TreePath): Position[] {
  return log
    .slice(after + 1, upTo + 1)
    .filter(({ operations }) => operations.some((operation) => isWithin(operation.path, path)))
    .map(({ record }) => record.position)
    .reverse();
}

function landingOf(log: readonly Logged[], session: string): Position | undefined {
  return log.slice(1).findLast(({ record }) => record.session === session)?.record.position;
}

async function checkSessions(
  forge: ForgeService,
  log: readonly Logged[],
  project: LifeProject,
): Promise<void> {
  const listed = new Map<string, string>();
  for (let after: string | undefined; ; ) {
    const page = await forge.listSessions(project.id, after === undefined ? {} : { after });
    for (const { id, state } of page.items) listed.set(id, state);
    if (page.next === undefined) break;
    after = page.next;
  }
  for (const session of project.sessions) await checkSession(forge, log, project, session, listed);
}

async function checkSession(
  forge: ForgeService,
  log: readonly Logged[],
  project: LifeProject,
  worked: WorkedSession,
  listed: ReadonlyMap<string, string>,
): Promise<void> {
  const { id, operations, decisions, abandoned } = worked;
  const session = await forge.getSession(project.id, id);
  const landedAt = landingOf(log, id);
  const times = log.slice(1).filter(({ record }) => record.session === id).length;
  must(times <= 1, `session ${id} landed ${times} times`);
  must(session.landedAt === landedAt, `session ${id} says it landed at ${session.landedAt}, not ${landedAt}`);
  must((session.state === "landed") === (landedAt !== undefined), `session ${id} is ${session.state}`);
  must(listed.get(id) === session.state, `session ${id} is listed as ${listed.get(id)}`);
  if (abandoned === "yes") must(landedAt === undefined, `session ${id} landed and was abandoned`);
  if (abandoned === "no") must(session.state !== "abandoned", `nobody abandoned session ${id}`);
  for (const operation of operations) {
    const recorded = session.operations.find(({ path }) => path === operation.path);
    must(recorded !== undefined && isSame(recorded, operation), `session ${id} lost ${operation.path}`);
  }
  const record = landedAt === undefined ? undefined : log[landedAt]!.record;
  for (const decision of decisions) {
    must(session.decisions.includes(decision), `session ${id} lost a decision`);
    must(record === undefined || record.decisions.includes(decision), `landing ${landedAt} lost a decision`);
  }
}

function isSame(a: Operation, b: Operation): boolean {
  if (a.kind === "delete" || b.kind === "delete") return a.kind === b.kind;
  return a.entry.id === b.entry.id && a.entry.kind === b.entry.kind;
}

/** Conflicts as the forge finds them, with every index and filter it has, and by comparing everything. */
async function checkFilters(snapshot: Snapshot, log: readonly Logged[], random: SeededRandom): Promise<void> {
  if (log.length < 3) return;
  for (let i = 0; i < QUESTIONS; i++) {
    const base = random.below(log.length - 1) as Position;
    const { operations } = log[1 + random.below(log.length - 1)]!;
    const found = await findConflicts(snapshot, operations, base);
    const scanned = operations
      .filter((own) => log.slice(base + 1).some((their) => their.operations.some((it) => clash(own, it))))
      .map(({ path }) => path);
    const said = JSON.stringify([...found].sort());
    must(
      said === JSON.stringify(scanned.sort()),
      `filters say ${said} since ${base}, the log says ${scanned}`,
    );
  }
}

async function checkHistory(
  forge: ForgeService,
  log: readonly Logged[],
  project: LifeProject,
  random: SeededRandom,
): Promise<void> {
  const head = (log.length - 1) as Position;
  for (let i = 0; i < QUESTIONS && head > 0; i++) {
    const after = random.below(head) as Position;
    const path = ["a", "b/c", "src", "e", "g/h"][random.below(5)]! as TreePath;
    const positions: Position[] = [];
    for await (const page of forge.listLandings(project.id, { after, paths: [path] })) {
      for (const { position } of page) positions.push(position);
    }
    const expected = touching(log, after, head, path);
    must(
      JSON.stringify(positions) === JSON.stringify(expected),
      `the log says that ${positions} touched ${path}, not ${expected}`,
    );
    const { record } = log[1 + random.below(head)]!;
    const found = await forge.findLanding(project.id, record.landingId, POSITION_ZERO);
    must(found?.position === record.position, `${record.landingId} is found at ${found?.position}`);
  }
}
