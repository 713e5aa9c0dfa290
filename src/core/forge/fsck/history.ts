/**
 * Every position of the log: its record, its operations applied to the tree before it, and whatever is new in
 * its tree. Applying the operations from the empty tree on proves every tree canonical, since the root then
 * equals the one that this code builds.
 */
import { throwIfAborted } from "../../base/clock.ts";
import { corrupt, isMicError, MicError } from "../../base/errors.ts";
import { collectAfter, GarbagePace } from "../../base/garbage.ts";
import { EMPTY_ROOT, type LandingId, type ObjectId, type Position } from "../../base/ids.ts";
import type { LandingRecord } from "../../codec/landing-record.ts";
import { editTreeInSlices } from "../../prolly/edit.ts";
import type { TreeEdit } from "../../prolly/types.ts";
import type { Progress } from "../forge.ts";
import { OperationCheck } from "../landing/check-request.ts";
import { type Edits, EditsWriter } from "../landing/edits.ts";
import { checkNeighbours } from "../landing/neighbours.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { ContentCheck } from "./content.ts";
import type { Damage } from "./damage.ts";
import type { Findings } from "./findings.ts";
import type { ObjectTable } from "./object-table.ts";
import { TreeCheck } from "./tree.ts";

/** What replaying a small landing leaves behind, in items of garbage.ts. */
const ITEMS_PER_LANDING = 256;

export async function checkHistory(
  snapshot: Snapshot,
  table: ObjectTable,
  findings: Findings,
  damage: Damage,
  onProgress: (progress: Progress) => void,
): Promise<void> {
  const { head } = snapshot;
  const content = new ContentCheck(snapshot, table, findings, damage);
  const trees = new TreeCheck(snapshot, table, findings, damage, content);
  const landingIds = new Map<LandingId, Position>();
  const pace = new GarbagePace();
  let previous: LandingRecord | undefined;
  for (let position = 1; position <= head.position; position++) {
    throwIfAborted(findings.signal);
    const where = { position: position as Position };
    const record = await findings.attempt(where, () => snapshot.record(where.position));
    if (record !== undefined) {
      await findings.attempt(where, () => checkRecord(snapshot, record, previous));
      noteLostOperations(record, table, damage);
      await findings.attempt(where, () => replayOperations(snapshot, record));
      await trees.check(record);
      const twice = landingIds.get(record.landingId);
      if (twice !== undefined) {
        findings.error("mismatch", `landing ${record.landingId} has position ${twice} too`, where);
      }
      landingIds.set(record.landingId, record.position);
    }
    previous = record;
    pace.passed(ITEMS_PER_LANDING);
    onProgress({ done: position, total: head.position, unit: "positions" });
  }
  await findings.attempt({ position: head.position }, () => checkHead(snapshot, previous, landingIds));
}

function noteLostOperations(
  { operations, position }: LandingRecord,
  table: ObjectTable,
  damage: Damage,
): void {
  if (operations.kind === "inline") return;
  for (const { id } of operations.segments) {
    if (table.findId(id) === -1) damage.lose({ id, kind: "operations", hint: position, position });
  }
}

async function checkRecord(
  snapshot: Snapshot,
  record: LandingRecord,
  previous: LandingRecord | undefined,
): Promise<void> {
  const { position, base } = record;
  const what = `landing ${position}`;
  if (previous !== undefined || position === 1) {
    const root = previous?.root ?? EMPTY_ROOT;
    if (record.parentRoot !== root) throw corrupt(what, "its parent is not the position before it");
    if (previous !== undefined && record.hlc <= previous.hlc) throw corrupt(what, "its clock ran backwards");
  }
  if ((await snapshot.rootAt(base.position)) !== base.root) {
    throw corrupt(what, `its base ${base.position} is not in this history`);
  }
}

/**
 * The digest covers base and operations; the operations lead from the tree before to the tree, and leave no path
 * that is both a file and a directory.
 */
async function replayOperations(snapshot: Snapshot, record: LandingRecord): Promise<void> {
  const { position } = record;
  const what = `landing ${position}`;
  const edits = await readEdits(snapshot, record);
  const before = snapshot.tree({
    position: (position - 1) as Position,
    root: record.parentRoot,
    hint: await hintBefore(snapshot, position),
  });
  const isKnown = new Uint8Array(edits.length);
  const pace = new GarbagePace();
  for (const [from, to] of edits.ranges()) {
    if (before.isEmpty) break;
    const existing = await before.getMany(edits.keys(from, to));
    pace.passed(2 * existing.length);
    for (let i = 0; i < existing.length; i++) if (existing[i] !== undefined) isKnown[from + i] = 1;
  }
  const after = await editTreeInSlices(before, pacedSlices(edits), { position, emit: () => undefined });
  if (after.root !== record.root) throw corrupt(what, "its operations make another tree");
  await asDamage(position, () => checkNeighbours(before, after, edits, isKnown));
  collectAfter(edits.length);
}

function* pacedSlices(edits: Edits): Generator<readonly TreeEdit[], void, undefined> {
  const pace = new GarbagePace();
  for (const slice of edits.slices()) {
    yield slice;
    // Views, changes to each level, and nodes.
    pace.passed(4 * slice.length);
  }
}

/** The operations of a record, which have its digest, as edits. */
async function readEdits(snapshot: Snapshot, record: LandingRecord): Promise<Edits> {
  const { position, base, operationCount } = record;
  const what = `landing ${position}`;
  const writer = new EditsWriter(base, operationCount);
  const check = new OperationCheck();
  const pace = new GarbagePace();
  let count = 0;
  for await (const operations of snapshot.operationPages(record)) {
    count += operations.length;
    if (count > operationCount) break;
    await asDamage(position, () => {
      for (const operation of operations) {
        check.next(operation);
        writer.add(operation);
      }
    });
    pace.passed(operations.length);
  }
  if (count !== operationCount) {
    throw corrupt(what, `${count} operations, its record says ${operationCount}`);
  }
  const { edits, digest } = writer.finish();
  if (digest !== record.digest) throw corrupt(what, "its digest is not that of its operations");
  return edits;
}

/** What would be wrong with a request is damage in what was stored. */
async function asDamage(position: Position, check: () => void | Promise<void>): Promise<void> {
  try {
    await check();
  } catch (error) {
    if (!isMicError(error, "usage")) throw error;
    throw new MicError("corrupt", `landing ${position}: ${error.message}`, { cause: error });
  }
}

async function hintBefore(snapshot: Snapshot, position: Position): Promise<number> {
  return position === 1 ? 0 : (await snapshot.record((position - 1) as Position)).rootHint;
}

function checkHead(
  snapshot: Snapshot,
  newest: LandingRecord | undefined,
  landingIds: ReadonlyMap<LandingId, Position>,
): void {
  const { head } = snapshot;
  const root: ObjectId | undefined = head.position === 0 ? EMPTY_ROOT : newest?.root;
  if (root !== undefined && head.root !== root) throw corrupt("head", "its root is not that of its position");
  if (newest !== undefined && head.hlc !== newest.hlc) {
    throw corrupt("head", "its clock is not that of its position");
  }
  const first = head.position - head.ring.length + 1;
  for (const [index, id] of head.ring.entries()) {
    const position = landingIds.get(id);
    if (position !== first + index) throw corrupt("head", `its ring says ${first + index} for landing ${id}`);
  }
}
