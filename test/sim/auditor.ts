/** Reads what the store holds in the end and compares it with what everybody was told. */

import { compareBytes } from "../../src/core/base/bytes.ts";
import { EMPTY_ROOT, type ObjectId, POSITION_ZERO } from "../../src/core/base/ids.ts";
import { isWithin, keyToPath, pathToKey, type TreePath } from "../../src/core/base/path.ts";
import { decodeChunkList } from "../../src/core/codec/chunk-list.ts";
import type { LandingRecord } from "../../src/core/codec/landing-record.ts";
import { encodeTreeEntry, type TreeEntry } from "../../src/core/codec/tree-entry.ts";
import type { Operation } from "../../src/core/forge/forge.ts";
import type { Snapshot } from "../../src/core/forge/log/snapshot.ts";
import type { ObjectRef } from "../../src/core/objects/frame.ts";
import { buildTree } from "../../src/core/prolly/build.ts";
import type { Answer, Attempted, Witness } from "./ledger.ts";

export interface Logged {
  readonly record: LandingRecord;
  readonly operations: readonly Operation[];
  /** Entries after it. */
  readonly files: ReadonlyMap<TreePath, TreeEntry>;
}

export interface AuditSummary {
  readonly landings: number;
  readonly conflicts: number;
  readonly failures: number;
}

export function must(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

/** `snapshot`: read past every fault and every cache. */
export async function audit(snapshot: Snapshot, clients: readonly Witness[]): Promise<AuditSummary> {
  return auditLog(await readLog(snapshot), clients);
}

export function auditLog(log: readonly Logged[], clients: readonly Witness[]): AuditSummary {
  const counts = { landings: log.length - 1, conflicts: 0, failures: 0 };
  const byId = new Map(log.slice(1).map((logged) => [logged.record.landingId, logged]));
  must(byId.size === log.length - 1, "a landing has two positions");
  const asked = new Map<string, Attempted>();
  for (const client of clients) {
    for (const attempted of client.attempted) {
      asked.set(`${attempted.request.landingId} ${attempted.digest}`, attempted);
      checkAnswer(attempted, log, byId.get(attempted.request.landingId));
      if (attempted.answer?.kind === "conflict") counts.conflicts++;
      if (attempted.answer?.kind === "failed") counts.failures++;
    }
    for (const { position, root } of client.sightings) {
      must(rootAt(log, position) === root, `${client.name} saw another tree at ${position}`);
    }
  }
  for (const { record } of log.slice(1)) {
    const attempted = asked.get(`${record.landingId} ${record.digest}`);
    must(attempted !== undefined, `nobody asked for ${record.landingId} as it landed at ${record.position}`);
    checkOracle(log, record, [...attempted.request.operations]);
  }
  return counts;
}

/** Index = position; [0] is the empty project. Checks density, roots, and that every tree can be read. */
export async function readLog(snapshot: Snapshot): Promise<Logged[]> {
  const records: LandingRecord[] = [];
  for await (const page of snapshot.records(POSITION_ZERO, snapshot.head.position))
    records.unshift(...page.toReversed());
  const log: Logged[] = [{ record: undefined as unknown as LandingRecord, operations: [], files: new Map() }];
  let hlc = 0n;
  for (const record of records) {
    must(record.position === log.length, `position ${log.length} is missing`);
    must(record.parentRoot === rootAt(log, log.length - 1), `${record.position} does not follow its parent`);
    must(record.hlc > hlc, `time runs back at ${record.position}`);
    hlc = record.hlc;
    const operations = await snapshot.operations(record);
    const files = applied(log.at(-1)!.files, operations);
    log.push({ record, operations, files });
    await checkTree(snapshot, record, files);
  }
  must(
    snapshot.head.root === rootAt(log, log.length - 1),
    "the head has another root than the newest record",
  );
  must(snapshot.head.position === log.length - 1, "the head's position is not that of the newest record");
  return log;
}

function rootAt(log: readonly Logged[], position: number): ObjectId {
  return position === 0 ? EMPTY_ROOT : log[position]!.record.root;
}

function applied(
  files: ReadonlyMap<TreePath, TreeEntry>,
  operations: readonly Operation[],
): Map<TreePath, TreeEntry> {
  const next = new Map(files);
  for (const operation of operations) {
    if (operation.kind === "delete") next.delete(operation.path);
    else next.set(operation.path, operation.entry);
  }
  return next;
}

/** The tree is the sequential application, a path is no file and directory at once, and content is there. */
async function checkTree(
  snapshot: Snapshot,
  record: LandingRecord,
  files: ReadonlyMap<TreePath, TreeEntry>,
): Promise<void> {
  const tree = await snapshot.treeAt(record.position);
  const expected = [...files].map(([path, entry]) => ({
    key: pathToKey(path),
    value: encodeTreeEntry(entry),
    hint: 0,
  }));
  expected.sort((a, b) => compareBytes(a.key, b.key));
  const rebuilt = await buildTree(expected, tree.context, { position: 1, emit: () => undefined });
  must(rebuilt.root === record.root, `the tree of ${record.position} is not what its landings make`);
  let previous: TreePath | undefined;
  for await (const page of tree.pages()) {
    for (const { key, hint } of page) {
      const path = keyToPath(key);
      must(previous === undefined || !isWithin(path, previous), `${previous} is a file and a directory`);
      previous = path;
      const { id, chunks } = files.get(path)!;
      const found = await snapshot.reader.has({ id: chunks ?? id, hint });
      must(found !== undefined, `the content of ${path} is missing at ${record.position}`);
      const { pack } = found.entry;
      const named = await snapshot.directory.at(hint);
      must(
        named.some((entry) => entry.pack === pack),
        `the hint ${hint} of ${path} at ${record.position} leads nowhere; it is in ${pack}`,
      );
      if (chunks !== undefined)
        await checkChunks(snapshot, { id: chunks, hint }, `${path} at ${record.position}`);
    }
  }
}

/** Every chunk of a large file is there, under the position that the list says. */
async function checkChunks(snapshot: Snapshot, list: ObjectRef, what: string): Promise<void> {
  const { content, sidecar } = await snapshot.reader.read(list);
  for (const { id, hint } of decodeChunkList(content, sidecar).chunks) {
    const found = await snapshot.reader.has({ id, hint: hint === 0 ? list.hint : hint });
    must(found !== undefined, `a chunk of ${what} is missing`);
  }
}

function checkAnswer(attempted: Attempted, log: readonly Logged[], logged: Logged | undefined): void {
  const { request, digest } = attempted;
  const answer: Answer | undefined = attempted.answer;
  must(answer !== undefined, `${request.landingId} never got an answer`);
  const isIn = logged !== undefined && logged.record.digest === digest;
  switch (answer.kind) {
    case "landed":
      must(isIn, `${request.landingId} was acknowledged at ${answer.position} and is not in the log`);
      must(logged.record.position === answer.position, `${request.landingId} is not at ${answer.position}`);
      must(logged.record.root === answer.root, `${request.landingId} was acknowledged with another tree`);
      return;
    case "conflict":
      must(!isIn, `${request.landingId} was reported as a conflict and landed`);
      for (const path of answer.paths) checkTouched(log, attempted, path);
      must(answer.paths.length > 0, `${request.landingId} conflicts in no path`);
      return;
    case "failed":
      must(!isIn, `${request.landingId} was reported as failed (${answer.code}) and landed`);
      return;
    case "reused":
      must(logged !== undefined && !isIn, `${request.landingId} was reported as reused and is not`);
      return;
  }
}

/** A conflict names a path that a landing after the base really set to something else. */
function checkTouched(log: readonly Logged[], { request }: Attempted, path: TreePath): void {
  const own = [...request.operations].find((operation) => operation.path === path);
  must(own !== undefined, `a conflict in ${path}, which is not ours`);
  const isTouched = log
    .slice(request.base.position + 1)
    .some(({ operations }) => operations.some((their) => clash(own, their)));
  must(isTouched, `a conflict in ${path} with nothing that is committed`);
}

/** The rule, written down as plainly as possible. */
export function clash(a: Operation, b: Operation): boolean {
  if (a.path === b.path) {
    if (a.kind === "delete" || b.kind === "delete") return a.kind !== b.kind;
    return a.entry.id !== b.entry.id || a.entry.kind !== b.entry.kind;
  }
  if (a.kind === "delete" || b.kind === "delete") return false;
  return a.path.startsWith(`${b.path}/`) || b.path.startsWith(`${a.path}/`);
}

/**
 * One-way oracle: where the tree of the base and the tree that was landed on differ at one of our paths, to
 * something other than ours, there was a conflict; so whatever landed shows no such difference.
 */
function checkOracle(log: readonly Logged[], record: LandingRecord, operations: readonly Operation[]): void {
  must(
    rootAt(log, record.base.position) === record.base.root,
    `the base of ${record.position} is not in the log`,
  );
  const base = log[record.base.position]!.files;
  const parent = log[record.position - 1]!.files;
  for (const operation of operations) {
    const before = show(base.get(operation.path));
    const now = show(parent.get(operation.path));
    const ours = operation.kind === "put" ? show(operation.entry) : show(undefined);
    must(now === before || now === ours, `${record.position} overwrote what was landed in ${operation.path}`);
  }
  const missed = log
    .slice(record.base.position + 1, record.position)
    .some((other) => other.operations.some((their) => operations.some((own) => clash(own, their))));
  must(!missed, `${record.position} landed over a conflict`);
}

function show(entry: TreeEntry | undefined): string {
  return entry === undefined ? "-" : `${entry.kind} ${entry.id}`;
}
