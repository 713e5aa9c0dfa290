/**
 * Checks everything that is stored for a project: each object by its hash or seal, each position by applying
 * its operations to the tree before it, each reference by looking up what it refers to. Reads past the caches
 * of this process, so that what is checked is what is stored.
 */
import { throwIfAborted } from "../../base/clock.ts";
import { isMicError, MicError } from "../../base/errors.ts";
import type { ProjectId } from "../../base/ids.ts";
import { headKey, metaKey } from "../../objects/keys.ts";
import type { ForgeContext } from "../context.ts";
import type { CallOptions, FsckReport, Progress } from "../forge.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { ProjectStore } from "../project-store.ts";
import { Damage } from "./damage.ts";
import { Findings } from "./findings.ts";
import { checkHistory } from "./history.ts";
import { checkNames } from "./names.ts";
import { ObjectTable } from "./object-table.ts";
import { checkPacks } from "./packs.ts";
import { checkRollups } from "./rollups.ts";
import { checkSessions } from "./sessions.ts";
import { checkUnnamed } from "./unnamed.ts";

const CACHE_BYTES = 32 << 20;

export interface FsckOptions extends CallOptions {
  readonly onProgress?: (progress: Progress) => void;
}

/**
 * Damage is reported, not thrown. Errors: `not-found` when there is no such project, `unreachable`, `aborted`.
 */
export async function fsck(
  context: ForgeContext,
  project: ProjectId,
  options: FsckOptions = {},
): Promise<FsckReport> {
  return (await examine(context, project, options)).report;
}

export interface Examined {
  readonly report: FsckReport;
  readonly damage: Damage;
  /** What sound packs hold. */
  readonly table: ObjectTable;
}

/** The same, with what a repair needs to know. */
export async function examine(
  context: ForgeContext,
  project: ProjectId,
  options: FsckOptions = {},
): Promise<Examined> {
  const { signal, onProgress = () => undefined } = options;
  throwIfAborted(signal);
  const findings = new Findings(signal);
  const damage = new Damage();
  const meta = await checkNames(context, project, findings, damage);
  const { store, clock, random } = context;
  const limits = { cacheBytes: CACHE_BYTES, trustWriters: false };
  const fresh = new ProjectStore({ store, project, clock, random, ...limits });
  const snapshot = await findings.attempt({ object: headKey(project) }, () => openHead(fresh, options));
  if (snapshot === undefined) {
    damage.kept.push(headKey(project));
    const nothing = { positions: 0, packs: 0, objects: 0, bytes: 0, unreferenced: 0 };
    return { report: { ...nothing, findings: findings.finish() }, damage, table: new ObjectTable() };
  }
  if (meta !== undefined && meta.salt !== snapshot.head.salt) {
    findings.error("mismatch", "head and meta have different lineage salts", { object: metaKey(project) });
  }
  const refresh = (): Promise<Snapshot> => fresh.snapshot();
  const checked = await checkPacks(context, snapshot, refresh, findings, damage, onProgress);
  const { table, packs, bytes, lists } = checked;
  const unreferenced = await checkUnnamed(context, snapshot, lists, refresh, findings, damage);
  await checkHistory(snapshot, table, findings, damage, onProgress);
  await checkRollups(context, await refresh(), findings, damage, onProgress);
  await checkSessions(context, snapshot, findings, damage);
  const { position } = snapshot.head;
  const counts = { positions: position, packs, objects: table.size, bytes, unreferenced };
  return { report: { ...counts, findings: findings.finish() }, damage, table };
}

/** The meta was there, so a head that is not is damage. */
async function openHead(project: ProjectStore, options: CallOptions): Promise<Snapshot> {
  try {
    return await project.snapshot(options.signal === undefined ? {} : { signal: options.signal });
  } catch (error) {
    if (!isMicError(error, "not-found")) throw error;
    throw new MicError("corrupt", "the project has no head", { cause: error });
  }
}
