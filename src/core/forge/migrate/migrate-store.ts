/**
 * Moves a forge, or one project of it, to another store: a directory or a bucket. What never changes is copied first,
 * then sessions, meta and names, and heads last, so that the target has no project to land into before it is whole.
 * Then it catches up with what landed meanwhile, until the source stands still for one look. Any step may be
 * interrupted; run again, it finds what is there. The source is only read.
 */
import { throwIfAborted } from "../../base/clock.ts";
import { MicError } from "../../base/errors.ts";
import type { Position, ProjectId } from "../../base/ids.ts";
import { formatProjectName, parseProjectName } from "../../base/project-name.ts";
import { decodeHead } from "../../codec/head.ts";
import {
  collectorPassKey,
  headKey,
  metaKey,
  PROJECTS_PREFIX,
  projectOfKey,
  projectPrefix,
} from "../../objects/keys.ts";
import type { ObjectStore } from "../../store/object-store.ts";
import type { CallOptions, Progress } from "../forge.ts";
import { decodeMetaOf } from "../projects/projects.ts";
import { ForgeService } from "../service.ts";
import { holdsForge, listAll, statForge, statProject } from "../storage-stat.ts";
import type { SwapContext } from "../swap-loop.ts";
import { copyNamedObject, copyObjects, type MoveContext } from "./copy-objects.ts";
import { readRecord } from "./copy-record.ts";
import { namedKeys } from "./named-keys.ts";
import { type MovedProject, RecordCopier } from "./records.ts";

export interface MigrateStore extends CallOptions, Omit<SwapContext, "store"> {
  readonly source: ObjectStore;
  readonly target: ObjectStore;
  /** `org/project`: this one alone, whatever else the target holds. Default: all of them. */
  readonly project?: string;
  readonly onProgress?: (progress: Progress) => void;
}

export interface MigrateReport {
  readonly projects: readonly {
    readonly id: ProjectId;
    readonly name: string;
    readonly position: Position;
  }[];
  /** Objects of the projects that are in the target now and were read there; records are not counted. */
  readonly objects: number;
  readonly bytes: number;
  /** Of them, those that this run wrote. */
  readonly copied: number;
  readonly bytesCopied: number;
}

/** Looks at the source, each after everything that was there had been copied, before it gives up. */
const PASSES_MAX = 20;

/**
 * Errors: `not-found` without such a project, or any; `already-exists` when the target holds other projects or a name is
 * taken there, `history-changed` when somebody landed or changed something there, `different-lineage`, `corrupt` for
 * damage in the source.
 */
export async function migrateStore(request: MigrateStore): Promise<MigrateReport> {
  const migration = new Migration(request);
  return await migration.run();
}

/** That there is something to move: a mistyped prefix is as empty as a new bucket. Errors: `not-found`. */
export async function requireForge(source: ObjectStore, options: CallOptions = {}): Promise<void> {
  if (await holdsForge(source, options)) return;
  throw new MicError("not-found", `there is no forge with projects at ${source.description}`, {
    hint: "check the bucket and the prefix, or the directory",
  });
}

class Migration {
  readonly #request: MigrateStore;
  readonly #options: CallOptions;
  readonly #records: RecordCopier;
  readonly #move: MoveContext;
  readonly #sourceForge: ForgeService;
  readonly #projects = new Map<ProjectId, MovedProject>();

  constructor(request: MigrateStore) {
    const { source, target, clock, random, signal } = request;
    this.#request = request;
    this.#options = signal === undefined ? {} : { signal };
    this.#sourceForge = new ForgeService({
      store: source,
      address: source.description,
      clock,
      random,
      trustWriters: false,
    });
    this.#records = new RecordCopier(
      { source, target, clock, random, options: this.#options },
      this.#sourceForge,
    );
    this.#move = {
      source,
      target,
      options: this.#options,
      counts: { objects: 0, bytes: 0, copied: 0, bytesCopied: 0 },
      onProgress: () => undefined,
    };
  }

  async run(): Promise<MigrateReport> {
    const only = await this.#findOnly();
    if (only === undefined) await requireForge(this.#request.source, this.#options);
    await this.#refuseForeign(only);
    const move = await this.#withProgress(only);
    for (let pass = 0; pass < PASSES_MAX; pass++) {
      const isNew = await this.#findProjects(only);
      for (const project of this.#projects.values()) await this.#copyContent(move, project);
      if (only === undefined) await this.#records.copyOrganizations();
      await this.#records.copyNames(only === undefined ? undefined : this.#projects.get(only));
      let hasMoved = false;
      for (const project of this.#projects.values()) {
        if (await this.#records.copyHead(project)) hasMoved = true;
        else if (!(await this.#isWhole(project))) hasMoved = true;
      }
      if (!hasMoved && !isNew) return this.#report();
    }
    throw new MicError("unreachable", "the source changes faster than it can be copied", {
      hint: "stop its writers, and run the command again: it goes on where it stopped",
    });
  }

  #report(): MigrateReport {
    const projects = [...this.#projects.values()].map(({ id, meta, head }) => {
      return { id, name: meta.name, position: head.position };
    });
    projects.sort((a, b) => (a.name < b.name ? -1 : 1));
    return { projects, ...this.#move.counts };
  }

  async #findOnly(): Promise<ProjectId | undefined> {
    const { project } = this.#request;
    if (project === undefined) return undefined;
    const name = formatProjectName(parseProjectName(project));
    return (await this.#sourceForge.getProject(name, this.#options)).id;
  }

  /** A whole forge goes where no other one is: its names would mix with those. */
  async #refuseForeign(only: ProjectId | undefined): Promise<void> {
    if (only !== undefined) return;
    const { source, target } = this.#request;
    for await (const id of projectIds(target, this.#options)) {
      if ((await source.get(headKey(id), this.#options)) !== undefined) continue;
      throw new MicError(
        "already-exists",
        `${target.description} holds projects that are not in the source`,
        {
          hint: "choose an empty bucket, prefix or directory, or move one project at a time",
          data: { project: id },
        },
      );
    }
  }

  async #withProgress(only: ProjectId | undefined): Promise<MoveContext> {
    const { source, onProgress } = this.#request;
    if (onProgress === undefined) return this.#move;
    const { bytes } = await (only === undefined
      ? statForge(source, this.#options)
      : statProject(source, only, this.#options));
    const { counts } = this.#move;
    return {
      ...this.#move,
      onProgress: () =>
        onProgress({ done: counts.bytes, total: Math.max(bytes, counts.bytes), unit: "bytes" }),
    };
  }

  /** True when there are some that were not there before. */
  async #findProjects(only: ProjectId | undefined): Promise<boolean> {
    const { source } = this.#request;
    const before = this.#projects.size;
    const ids = only === undefined ? projectIds(source, this.#options) : [only];
    for await (const id of ids) {
      if (this.#projects.has(id)) continue;
      const head = await source.get(headKey(id), this.#options);
      const meta = await readRecord(source, metaKey(id), this.#options);
      // A creation that is under way, or was stopped: it has no name yet.
      if (head === undefined || meta === undefined) continue;
      const project: MovedProject = {
        id,
        meta: decodeMetaOf(id, meta),
        head: decodeHead(head.bytes),
        headBytes: head.bytes,
        headEtag: head.etag,
        done: new Set(),
        sessions: new Map(),
      };
      await this.#records.checkTarget(project);
      this.#projects.set(id, project);
    }
    return this.#projects.size > before;
  }

  /**
   * That everything is still there: of a migration that was interrupted days ago, the target's collector may have
   * deleted what no head named then.
   */
  async #isWhole({ id, meta, head, done }: MovedProject): Promise<boolean> {
    if (meta.deletedAtMs !== 0) return true;
    const { target } = this.#request;
    const there = new Set<string>();
    for await (const objects of listAll(target, projectPrefix(id), this.#options)) {
      for (const { key } of objects) there.add(key);
    }
    for await (const key of namedKeys(target, id, head, this.#options)) {
      if (there.has(key)) continue;
      for (const copied of done) if (!there.has(copied)) done.delete(copied);
      return false;
    }
    return true;
  }

  /** What the head that was read leads to was there before it, and is copied with everything else. */
  async #copyContent(move: MoveContext, project: MovedProject): Promise<void> {
    const { id, done } = project;
    const { source, target } = this.#request;
    // What the target's collector found unnamed is about to be named: it begins anew, which takes it a day.
    await target.delete([collectorPassKey(id)], this.#options);
    await copyObjects(move, id, done);
    if (project.meta.deletedAtMs === 0) {
      for await (const key of namedKeys(target, id, project.head, this.#options)) {
        throwIfAborted(this.#options.signal);
        if (done.has(key)) continue;
        // A listing may be late.
        if (!(await copyNamedObject(move, id, key))) {
          throw new MicError("corrupt", `${key} is missing in ${source.description}`, {
            hint: "run `mic fsck --repair` there first",
            data: { object: key },
          });
        }
        done.add(key);
      }
    }
    await this.#records.copySessions(project);
    await this.#records.copyMeta(project);
  }
}

/** Of whatever has an object below `projects/`, each once; a listing is in order. */
async function* projectIds(store: ObjectStore, options: CallOptions): AsyncIterable<ProjectId> {
  let after = PROJECTS_PREFIX;
  for (;;) {
    throwIfAborted(options.signal);
    const { objects } = await store.list(PROJECTS_PREFIX, { after, limit: 1, ...options });
    const [object] = objects;
    if (object === undefined) return;
    const id = projectOfKey(object.key);
    if (id !== undefined) yield id;
    // Past everything of this one: no key has a byte above 0x7e.
    after = id === undefined ? object.key : `${PROJECTS_PREFIX}${id}/~`;
  }
}
