/**
 * What may not be collected: everything that the head leads to, and content that is stored for a landing to come.
 * Whatever cannot be read ends the pass with its error. Reads past the caches, which may be wrong.
 */
import { throwIfAborted } from "../../base/clock.ts";
import { MicError } from "../../base/errors.ts";
import { GarbagePace } from "../../base/garbage.ts";
import { hashObject, verifyObject } from "../../base/hash.ts";
import type { ObjectId, ProjectId } from "../../base/ids.ts";
import { decodeHead, type RollupRef } from "../../codec/head.ts";
import { decodeLooseObject, isLooseChunkList, LOOSE_HEADER_BYTES } from "../../codec/loose-object.ts";
import { decodeManifestPage } from "../../codec/manifest-page.ts";
import { epochToDays, type ManifestPack } from "../../codec/pack-entry.ts";
import type { PageRef } from "../../codec/page-ref.ts";
import { decodeRollupFront } from "../../codec/rollup.ts";
import { headKey, pageKey, rollupKey } from "../../objects/keys.ts";
import type { ETag } from "../../store/object-store.ts";
import type { ForgeContext } from "../context.ts";
import { DamagedRollupError } from "../rollup/extents.ts";
import { sessionIds } from "../sessions/list.ts";
import { readSession } from "../sessions/sessions.ts";
import { KeySet } from "./key-set.ts";

/** Reads under way at once. */
const READ_TOGETHER = 32;
/** Objects and strings that are made for each entry of a page. */
const OBJECTS_PER_ENTRY = 6;

export class Roots {
  readonly #context: ForgeContext;
  readonly #project: ProjectId;
  readonly #signal: AbortSignal | undefined;
  readonly #named = new KeySet();
  /** Loose objects that open sessions want, whatever their epoch; of chunk lists too. */
  readonly #wanted = new KeySet();
  readonly #pages = new Set<ObjectId>();
  readonly #rollups = new Set<ObjectId>();
  readonly #pace = new GarbagePace();
  #etag: ETag | undefined;

  constructor(context: ForgeContext, project: ProjectId, signal: AbortSignal | undefined) {
    this.#context = context;
    this.#project = project;
    this.#signal = signal;
  }

  isNamed(kind: "pack" | "page" | "rollup" | "part", days: number, id: string): boolean {
    return this.#named.has(kind, days, id);
  }

  isWanted(id: string): boolean {
    return this.#wanted.has("blob", 0, id);
  }

  /** Adds what the head leads to now; what an earlier head led to stays named. */
  async readHead(): Promise<void> {
    const { store } = this.#context;
    const key = headKey(this.#project);
    const found =
      this.#etag === undefined
        ? await store.get(key, this.#options({ fresh: true }))
        : await store.revalidate(key, this.#etag, this.#options({}));
    if (found === "unchanged") return;
    if (found === undefined) {
      throw new MicError("corrupt", `the head of project ${this.#project} is gone`, {
        hint: "restore it from a backup of the store; it is never written anew",
        data: { project: this.#project },
      });
    }
    const head = decodeHead(found.bytes);
    this.#addPacks(head.packs);
    for (const ref of head.pages) await this.#addPage(ref);
    for (const ref of head.rollups) await this.#addRollup(ref);
    this.#etag = found.etag;
  }

  #addPacks(packs: readonly ManifestPack[]): void {
    for (const { epoch, pack } of packs) this.#named.add("pack", epochToDays(epoch), pack);
  }

  async #addPage(ref: PageRef): Promise<void> {
    if (this.#pages.has(ref.hash)) return;
    throwIfAborted(this.#signal);
    const bytes = await this.#readHashed(pageKey(this.#project, ref.epoch, ref.hash), ref.hash);
    const page = decodeManifestPage(bytes);
    this.#pace.passed(OBJECTS_PER_ENTRY * ("packs" in page ? page.packs.length : page.pages.length));
    if ("packs" in page) this.#addPacks(page.packs);
    else for (const below of page.pages) await this.#addPage(below);
    this.#named.add("page", epochToDays(ref.epoch), ref.hash);
    this.#pages.add(ref.hash);
  }

  /** Errors: DamagedRollupError, `unsupported`. */
  async #addRollup(ref: RollupRef): Promise<void> {
    const { level, epoch, first, hash } = ref;
    if (this.#rollups.has(hash)) return;
    throwIfAborted(this.#signal);
    const key = rollupKey(this.#project, epoch, level, first, hash);
    const stored = await this.#context.store.get(key, this.#options({ fresh: true }));
    if (stored === undefined) throw new DamagedRollupError(ref, key, "it is missing");
    if (hashObject(stored.bytes) !== hash) throw new DamagedRollupError(ref, key, "it has another hash");
    const days = epochToDays(epoch);
    for (const part of decodeRollupFront(stored.bytes).parts) this.#named.add("part", days, part.hash);
    this.#named.add("rollup", days, hash);
    this.#rollups.add(hash);
  }

  async #readHashed(key: string, hash: ObjectId): Promise<Uint8Array> {
    const stored = await this.#context.store.get(key, this.#options({ fresh: true }));
    if (stored === undefined) {
      throw new MicError("corrupt", `${key} is missing, so nothing is collected`, {
        hint: "run `mic fsck --repair`",
        data: { object: key },
      });
    }
    verifyObject(hash, stored.bytes, key);
    return stored.bytes;
  }

  /** Content that sessions recorded which neither landed nor were abandoned. */
  async readSessions(): Promise<void> {
    const { project } = this.#context;
    const options = this.#options({});
    const snapshot = await project(this.#project).snapshot(options);
    for await (const ids of sessionIds(this.#context, this.#project, undefined, options)) {
      for (let start = 0; start < ids.length; start += READ_TOGETHER) {
        const read = ids.slice(start, start + READ_TOGETHER).map(async (id) => {
          const session = await readSession(this.#context, this.#project, id, this.#signal);
          if (session === undefined || session.state === "abandoned") return;
          if (session.operations.length === 0) return;
          if ((await snapshot.landingOfSession(id, session.basePosition, options)) !== undefined) return;
          for (const operation of session.operations) {
            if (operation.kind === "delete") continue;
            this.#wanted.add("blob", 0, operation.entry.chunks ?? operation.entry.id);
          }
        });
        await Promise.all(read);
      }
    }
  }

  /** The packs of loose chunk lists among these keys, which a landing may still ask for. */
  async readLoose(loose: readonly { readonly key: string; readonly id: string }[]): Promise<void> {
    for (let start = 0; start < loose.length; start += READ_TOGETHER) {
      throwIfAborted(this.#signal);
      const read = loose.slice(start, start + READ_TOGETHER).map(async ({ key, id }) => {
        const range = { offset: 0, length: LOOSE_HEADER_BYTES };
        const header = await this.#context.store.get(key, this.#options({ range, fresh: true }));
        if (header === undefined || !isLooseChunkList(header.bytes)) return;
        const stored = await this.#context.store.get(key, this.#options({ fresh: true }));
        if (stored === undefined) return;
        const object = decodeLooseObject(stored.bytes, id as ObjectId);
        if (object.kind === "blob") return;
        for (const { pack, epoch } of object.packs) this.#named.add("pack", epochToDays(epoch), pack);
      });
      await Promise.all(read);
    }
  }

  #options<T extends object>(options: T): T & { readonly signal?: AbortSignal } {
    return this.#signal === undefined ? options : { ...options, signal: this.#signal };
  }
}
