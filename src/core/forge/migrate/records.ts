/**
 * What changes of a forge that is moved: sessions, meta, names, organizations, heads. Each is copied only over what an
 * earlier state of the source can have been; anything else in the target says that it is in use.
 */
import { MicError } from "../../base/errors.ts";
import type { ProjectId } from "../../base/ids.ts";
import { parseProjectName } from "../../base/project-name.ts";
import { decodeHead, type Head } from "../../codec/head.ts";
import type { ProjectMeta } from "../../codec/meta.ts";
import { decodeOrganization } from "../../codec/organization.ts";
import { decodeSession } from "../../codec/session.ts";
import {
  headKey,
  metaKey,
  NAMES_PREFIX,
  ORGANIZATIONS_PREFIX,
  organizationKey,
  sessionsPrefix,
} from "../../objects/keys.ts";
import { parseStoredKey } from "../../objects/stored-key.ts";
import type { ETag, ObjectStore } from "../../store/object-store.ts";
import type { CallOptions, Forge } from "../forge.ts";
import { decodeFor } from "../projects/names.ts";
import { decodeMetaOf } from "../projects/projects.ts";
import { listAll } from "../storage-stat.ts";
import type { SwapContext } from "../swap-loop.ts";
import { copyRecord, readRecord } from "./copy-record.ts";

const RECORDS_TOGETHER = 16;

export interface MovedProject {
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

export interface RecordsContext extends Omit<SwapContext, "store"> {
  readonly source: ObjectStore;
  readonly target: ObjectStore;
  readonly options: CallOptions;
}

export class RecordCopier {
  readonly #context: RecordsContext;
  readonly #swap: SwapContext;
  readonly #sourceForge: Forge;

  constructor(context: RecordsContext, sourceForge: Forge) {
    const { target, clock, random } = context;
    this.#context = context;
    this.#swap = { store: target, clock, random };
    this.#sourceForge = sourceForge;
  }

  async copySessions({ id, sessions }: MovedProject): Promise<void> {
    const { source, target } = this.#context;
    for await (const objects of listAll(source, sessionsPrefix(id), this.#context.options)) {
      const keys = objects.map(({ key }) => key).filter((key) => parseStoredKey(id, key).kind === "session");
      for (let start = 0; start < keys.length; start += RECORDS_TOGETHER) {
        const copying = keys.slice(start, start + RECORDS_TOGETHER).map(async (key) => {
          const known = sessions.get(key);
          const found =
            known === undefined
              ? await source.get(key, this.#context.options)
              : await source.revalidate(key, known, this.#context.options);
          if (found === undefined || found === "unchanged") return;
          const ours = decodeSession(found.bytes);
          const mayReplace = (current: Uint8Array): boolean => {
            if (decodeSession(current).updated <= ours.updated) return true;
            throw new MicError("history-changed", `session ${ours.id} was changed in ${target.description}`, {
              hint: "it is in use there; there is nothing more to move",
            });
          };
          await copyRecord(this.#swap, key, found.bytes, mayReplace, this.#context.options);
          sessions.set(key, found.etag);
        });
        await Promise.all(copying);
      }
    }
  }

  async copyMeta(project: MovedProject): Promise<void> {
    const { source, target } = this.#context;
    const { id } = project;
    const key = metaKey(id);
    const bytes = await readRecord(source, key, this.#context.options);
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
    await copyRecord(this.#swap, key, bytes, mayReplace, this.#context.options);
  }

  /** Those that are there stay: they say the same, or more. */
  async copyOrganizations(): Promise<void> {
    const { source } = this.#context;
    for await (const objects of listAll(source, ORGANIZATIONS_PREFIX, this.#context.options)) {
      for (const { key } of objects) await this.#copyOrganization(key);
    }
  }

  async #copyOrganization(key: string): Promise<void> {
    const bytes = await readRecord(this.#context.source, key, this.#context.options);
    if (bytes === undefined) return;
    decodeOrganization(bytes);
    await copyRecord(this.#swap, key, bytes, () => false, this.#context.options);
  }

  async copyNames(only: MovedProject | undefined): Promise<void> {
    const { source } = this.#context;
    if (only !== undefined) {
      const { meta } = only;
      const names = [meta.name, ...meta.formerNames];
      for (const name of names) {
        await this.#copyOrganization(organizationKey(parseProjectName(name).org));
        await this.#copyName(name);
      }
      return;
    }
    for await (const objects of listAll(source, NAMES_PREFIX, this.#context.options)) {
      for (const { key } of objects) await this.#copyName(key.slice(NAMES_PREFIX.length));
    }
  }

  async #copyName(name: string): Promise<void> {
    const { source } = this.#context;
    const key = NAMES_PREFIX + name;
    const bytes = await readRecord(source, key, this.#context.options);
    if (bytes === undefined) return;
    const { project } = decodeFor(name, bytes);
    const mayReplace = (current: Uint8Array): boolean => this.#requireName(name, project, current);
    await copyRecord(this.#swap, key, bytes, mayReplace, this.#context.options);
  }

  /** True when something was written, or the source has a newer head by now, which the next pass copies. */
  async copyHead(project: MovedProject): Promise<boolean> {
    const { source } = this.#context;
    const { id, headBytes, headEtag } = project;
    const key = headKey(id);
    const mayReplace = (current: Uint8Array): Promise<boolean> => this.#isEarlier(project, current);
    const wrote = await copyRecord(this.#swap, key, headBytes, mayReplace, this.#context.options);
    const now = await source.revalidate(key, headEtag, this.#context.options);
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
  async checkTarget(project: MovedProject): Promise<void> {
    const { target } = this.#context;
    const { id, meta } = project;
    const head = await readRecord(target, headKey(id), this.#context.options);
    if (head !== undefined) await this.#isEarlier(project, head);
    for (const name of [meta.name, ...meta.formerNames]) {
      const record = await readRecord(target, NAMES_PREFIX + name, this.#context.options);
      if (record !== undefined) this.#requireName(name, id, record);
    }
  }

  #requireName(name: string, project: ProjectId, record: Uint8Array): boolean {
    if (decodeFor(name, record).project === project) return true;
    throw new MicError(
      "already-exists",
      `the name ${name} is another project's in ${this.#context.target.description}`,
      {
        hint: "choose another bucket, prefix or directory, or rename one of the two projects",
        data: { project: name },
      },
    );
  }

  /** Whether a head is one that the source once had. Errors: `different-lineage`, `history-changed`. */
  async #isEarlier({ id, meta, head }: MovedProject, bytes: Uint8Array): Promise<boolean> {
    const { target } = this.#context;
    const theirs = decodeHead(bytes);
    if (theirs.salt !== head.salt) throw otherLineage(target, meta.name);
    if (theirs.position <= head.position) {
      // The log of a deleted project may be gone.
      if (meta.deletedAtMs !== 0) return true;
      const { root } = await this.#sourceForge.getPosition(id, theirs.position, this.#context.options);
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
