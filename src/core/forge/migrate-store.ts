/**
 * Moves a forge, or one project of it, to another store: a directory or a bucket. What never changes is copied first,
 * then sessions, meta and names, and heads last, so that the target has no project to land into before it is whole.
 * Then it catches up with what landed meanwhile, until the source stands still for one look. Any step may be
 * interrupted; run again, it finds what is there. The source is only read.
 */
import { throwIfAborted } from "../base/clock.ts";
import { MicError } from "../base/errors.ts";
import type { Position, ProjectId } from "../base/ids.ts";
import { formatProjectName, parseProjectName } from "../base/project-name.ts";
import { decodeHead, type Head } from "../codec/head.ts";
import type { ProjectMeta } from "../codec/meta.ts";
import { decodeOrganization } from "../codec/organization.ts";
import { decodeSession } from "../codec/session.ts";
import {
  headKey,
  metaKey,
  NAMES_PREFIX,
  ORGANIZATIONS_PREFIX,
  organizationKey,
  PROJECTS_PREFIX,
  projectOfKey,
  sessionsPrefix,
} from "../objects/keys.ts";
import { parseStoredKey } from "../objects/stored-key.ts";
import type { ETag, ObjectStore } from "../store/object-store.ts";
import type { CallOptions, Progress } from "./forge.ts";
import { copyNamedObject, copyObjects, type MoveContext } from "./migrate/copy-objects.ts";
import { copyRecord, readRecord } from "./migrate/copy-records.ts";
import { namedKeys } from "./migrate/named-keys.ts";
import { decodeFor } from "./names.ts";
import { decodeMetaOf } from "./projects.ts";
import { ForgeService } from "./service.ts";
import { listAll, statForge, statProject } from "./storage-stat.ts";
import type { SwapContext } from "./swap-loop.ts";

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
const RECORDS_TOGETHER = 16;

/**
 * Errors: `not-found` without such a project, `already-exists` when the target holds other projects or a name is
 * taken there, `history-changed` when somebody landed or changed something there, `different-lineage`, `corrupt` for
 * damage in the source.
 */
export async function migrateStore(request: MigrateStore): Promise<MigrateReport> {
  const migration = new Migration(request);
  return await migration.run();
}

interface MovedProject {
  readonly id: ProjectId;
  meta: ProjectMeta;
  /** The newest one that was read; everything that it leads to is copied before it. */
  head: Head;
  headBytes: Uint8Array;
  headEtag: ETag;
  /** Immutable objects that are in the target. */
  readonly done: Set<string>;
  /** What sessions were when they were copied. */
  readonly sessions: Map<string, ETag>;
}

class Migration {
  readonly #request: MigrateStore;
  readonly #options: CallOptions;
  readonly #swap: SwapContext;
  readonly #move: MoveContext;
  readonly #sourceForge: ForgeService;
  readonly #projects = new Map<ProjectId, MovedProject>();

  constructor(request: MigrateStore) {
    const { source, target, clock, random, signal } = request;
    this.#request = request;
    this.#options = signal === undefined ? {} : { signal };
    this.#swap = { store: target, clock, random };
    this.#sourceForge = new ForgeService({
      store: source,
      address: source.description,
      clock,
      random,
      trustWriters: false,
    });
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
    await this.#refuseForeign(only);
    const move = await this.#withProgress(only);
    for (let pass = 0; pass < PASSES_MAX; pass++) {
      const isNew = await this.#findProjects(only);
      for (const project of this.#projects.values()) await this.#copyContent(move, project);
      if (only === undefined) await this.#copyOrganizations();
      await this.#copyNames(only);
      let hasMoved = false;
      for (const project of this.#projects.values()) {
        if (await this.#copyHead(project)) hasMoved = true;
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
      await this.#checkTarget(project);
      this.#projects.set(id, project);
    }
    return this.#projects.size > before;
  }

  /** What the head that was read leads to was there before it, and is copied with everything else. */
  async #copyContent(move: MoveContext, project: MovedProject): Promise<void> {
    const { id, done } = project;
    const { source, target } = this.#request;
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
    await this.#copySessions(project);
    await this.#copyMeta(project);
  }

  async #copySessions({ id, sessions }: MovedProject): Promise<void> {
    const { source, target } = this.#request;
    for await (const objects of listAll(source, sessionsPrefix(id), this.#options)) {
      const keys = objects.map(({ key }) => key).filter((key) => parseStoredKey(id, key).kind === "session");
      for (let start = 0; start < keys.length; start += RECORDS_TOGETHER) {
        const copying = keys.slice(start, start + RECORDS_TOGETHER).map(async (key) => {
          const known = sessions.get(key);
          const found =
            known === undefined
              ? await source.get(key, this.#options)
              : await source.revalidate(key, known, this.#options);
          if (found === undefined || found === "unchanged") return;
          const ours = decodeSession(found.bytes);
          const mayReplace = (current: Uint8Array): boolean => {
            if (decodeSession(current).updated <= ours.updated) return true;
            throw new MicError("history-changed", `session ${ours.id} was changed in ${target.description}`, {
              hint: "it is in use there; there is nothing more to move",
            });
          };
          await copyRecord(this.#swap, key, found.bytes, mayReplace, this.#options);
          sessions.set(key, found.etag);
        });
        await Promise.all(copying);
      }
    }
  }

  async #copyMeta(project: MovedProject): Promise<void> {
    const { source, target } = this.#request;
    const { id } = project;
    const key = metaKey(id);
    const bytes = await readRecord(source, key, this.#options);
    if (bytes === undefined) return;
    const ours = decodeMetaOf(id, bytes);
    project.meta = ours;
    const mayReplace = (current: Uint8Array): boolean => {
      const theirs = decodeMetaOf(id, current);
      if (theirs.salt !== ours.salt) throw otherLineage(target, ours.name);
      if (theirs.revision < ours.revision) return true;
      throw new MicError("history-changed", `${theirs.name} was changed in ${target.description}`, {
        hint: "it is in use there; there is nothing more to move",
        data: { project: theirs.name },
      });
    };
    await copyRecord(this.#swap, key, bytes, mayReplace, this.#options);
  }

  /** Those that are there stay: they say the same, or more. */
  async #copyOrganizations(): Promise<void> {
    const { source } = this.#request;
    for await (const objects of listAll(source, ORGANIZATIONS_PREFIX, this.#options)) {
      for (const { key } of objects) await this.#copyOrganization(key);
    }
  }

  async #copyOrganization(key: string): Promise<void> {
    const bytes = await readRecord(this.#request.source, key, this.#options);
    if (bytes === undefined) return;
    decodeOrganization(bytes);
    await copyRecord(this.#swap, key, bytes, () => false, this.#options);
  }

  async #copyNames(only: ProjectId | undefined): Promise<void> {
    const { source } = this.#request;
    if (only !== undefined) {
      const { meta } = this.#projects.get(only)!;
      const names = [meta.name, ...meta.formerNames];
      for (const name of names) {
        await this.#copyOrganization(organizationKey(parseProjectName(name).org));
        await this.#copyName(name);
      }
      return;
    }
    for await (const objects of listAll(source, NAMES_PREFIX, this.#options)) {
      for (const { key } of objects) await this.#copyName(key.slice(NAMES_PREFIX.length));
    }
  }

  async #copyName(name: string): Promise<void> {
    const { source } = this.#request;
    const key = NAMES_PREFIX + name;
    const bytes = await readRecord(source, key, this.#options);
    if (bytes === undefined) return;
    const { project } = decodeFor(name, bytes);
    const mayReplace = (current: Uint8Array): boolean => this.#requireName(name, project, current);
    await copyRecord(this.#swap, key, bytes, mayReplace, this.#options);
  }

  /** True when something was written, or the source has a newer head by now, which the next pass copies. */
  async #copyHead(project: MovedProject): Promise<boolean> {
    const { source } = this.#request;
    const { id, headBytes, headEtag } = project;
    const key = headKey(id);
    const mayReplace = (current: Uint8Array): Promise<boolean> => this.#isEarlier(project, current);
    const wrote = await copyRecord(this.#swap, key, headBytes, mayReplace, this.#options);
    const now = await source.revalidate(key, headEtag, this.#options);
    if (now === "unchanged") return wrote;
    if (now === undefined) {
      throw new MicError("corrupt", `the head of ${project.meta.name} is gone`, { hint: "run `mic fsck`" });
    }
    project.head = decodeHead(now.bytes);
    project.headBytes = now.bytes;
    project.headEtag = now.etag;
    return true;
  }

  /** Before anything of it is written. */
  async #checkTarget(project: MovedProject): Promise<void> {
    const { target } = this.#request;
    const { id, meta } = project;
    const head = await readRecord(target, headKey(id), this.#options);
    if (head !== undefined) await this.#isEarlier(project, head);
    for (const name of [meta.name, ...meta.formerNames]) {
      const record = await readRecord(target, NAMES_PREFIX + name, this.#options);
      if (record !== undefined) this.#requireName(name, id, record);
    }
  }

  #requireName(name: string, project: ProjectId, record: Uint8Array): boolean {
    if (decodeFor(name, record).project === project) return true;
    throw new MicError(
      "already-exists",
      `the name ${name} is another project's in ${this.#request.target.description}`,
      {
        hint: "choose another bucket, prefix or directory, or rename one of the two projects",
        data: { project: name },
      },
    );
  }

  /** Whether a head is one that the source once had. Errors: `different-lineage`, `history-changed`. */
  async #isEarlier({ id, meta, head }: MovedProject, bytes: Uint8Array): Promise<boolean> {
    const { target } = this.#request;
    const theirs = decodeHead(bytes);
    if (theirs.salt !== head.salt) throw otherLineage(target, meta.name);
    if (theirs.position <= head.position) {
      // The log of a deleted project may be gone.
      if (meta.deletedAtMs !== 0) return true;
      const { root } = await this.#sourceForge.getPosition(id, theirs.position, this.#options);
      if (root === theirs.root) return true;
    }
    throw new MicError("history-changed", `somebody landed into ${meta.name} in ${target.description}`, {
      hint: "it is in use there; there is nothing more to move",
      data: { project: meta.name, position: theirs.position },
    });
  }
}

function otherLineage(target: ObjectStore, name: string): MicError {
  return new MicError(
    "different-lineage",
    `${target.description} has another project under the id of ${name}`,
    {
      hint: "choose another bucket, prefix or directory",
      data: { project: name },
    },
  );
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
