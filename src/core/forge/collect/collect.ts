/**
 * One pass of the collector: docs/format/collection.md, RELIABILITY.md "Garbage collection". What nothing names is
 * deleted when its epoch was three days old in an earlier pass, at least a day ago, that did not find it named
 * either. Such an object can never be named again: a swap of the head newly names only epochs of today and
 * yesterday. Any number of passes may run at once, and end anywhere.
 */
import { bytesToHex } from "../../base/bytes.ts";
import { throwIfAborted } from "../../base/clock.ts";
import { isMicError, MicError } from "../../base/errors.ts";
import { GarbagePace } from "../../base/garbage.ts";
import type { ProjectId } from "../../base/ids.ts";
import { decodeCollectionPass, encodeCollectionPass } from "../../codec/collection.ts";
import { collectorPassKey, collectorPrefix, headKey, metaKey, projectPrefix } from "../../objects/keys.ts";
import { parseStoredKey, type StoredKey } from "../../objects/stored-key.ts";
import type { ETag, ListedObject } from "../../store/object-store.ts";
import type { ForgeContext } from "../context.ts";
import type { CallOptions } from "../forge.ts";
import type { CollectReport } from "../maintenance.ts";
import { decodeMetaOf } from "../projects/projects.ts";
import { DamagedRollupError } from "../rollup/extents.ts";
import { rebuildRollup } from "../rollup/rebuild.ts";
import { Candidates, EarlierPass } from "./candidates.ts";
import { Roots } from "./roots.ts";
import { Tally } from "./tally.ts";

const DAY_MS = 86_400_000;
/** Days between the epoch of an object and the first pass that counts for it. */
export const COLLECTABLE_DAYS = 3;
/** Between two passes that both found an object unnamed. */
export const PASS_GAP_MS: number = DAY_MS;
/** The same for everything of a project that was deleted. */
export const DELETED_GAP_MS: number = 7 * DAY_MS;
/** What sessions want was read no longer ago than this when content is deleted. */
const PASS_MS_MAX = 6 * 3_600_000;
/** Keys that are deleted after one look at the head. */
const DELETE_TOGETHER = 1000;
const NONCE_BYTES = 16;
/** Objects and strings that are made for each key of a listing. */
const OBJECTS_PER_KEY = 8;

export interface CollectOptions extends CallOptions {
  /** Neither deletes nor writes anything. */
  readonly dryRun?: boolean;
}

/**
 * A rollup that is missing or damaged is built again first, since its front names parts. Errors: `not-found`; `corrupt`,
 * `unreachable` and whatever else says that something could not be read: then nothing more is deleted. `aborted`.
 */
export async function collect(
  context: ForgeContext,
  project: ProjectId,
  options: CollectOptions = {},
): Promise<CollectReport> {
  const rebuilt = new Set<string>();
  for (;;) {
    try {
      return await new Pass(context, project, options).run();
    } catch (error) {
      if (!(error instanceof DamagedRollupError) || options.dryRun === true) throw error;
      const { hash, epoch } = error.ref;
      const name = `${epoch}/${hash}`;
      if (rebuilt.has(name) || !(await rebuild(context, project, error, options))) throw error;
      rebuilt.add(name);
    }
  }
}

/** Whether no head can newly name what was stored on this day: docs/format/collection.md. */
export function isCollectable(days: number, storeMs: number): boolean {
  return Math.floor(storeMs / DAY_MS) - days >= COLLECTABLE_DAYS;
}

/** False where the log that it would be built from is damaged too. */
async function rebuild(
  context: ForgeContext,
  project: ProjectId,
  { ref }: DamagedRollupError,
  { signal }: CallOptions,
): Promise<boolean> {
  try {
    await rebuildRollup(context, context.project(project), ref, signal === undefined ? {} : { signal });
    return true;
  } catch (error) {
    if (!isMicError(error, "corrupt") && !isMicError(error, "not-found")) throw error;
    return false;
  }
}

class Pass {
  readonly #context: ForgeContext;
  readonly #project: ProjectId;
  readonly #dryRun: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #roots: Roots;
  readonly #found = new Candidates();
  readonly #pace = new GarbagePace();
  readonly #doomed: (StoredKey & ListedObject)[] = [];
  #startedMs = 0;
  #isDeleted = false;
  #earlier: EarlierPass | undefined;
  #tally!: Tally;

  constructor(context: ForgeContext, project: ProjectId, options: CollectOptions) {
    this.#context = context;
    this.#project = project;
    this.#dryRun = options.dryRun === true;
    this.#signal = options.signal;
    this.#roots = new Roots(context, project, options.signal);
  }

  async run(): Promise<CollectReport> {
    const { store } = this.#context;
    throwIfAborted(this.#signal);
    this.#startedMs = await store.nowMs();
    this.#isDeleted = await this.#wasDeleted();
    const stored = await store.get(collectorPassKey(this.#project), this.#options);
    this.#earlier = stored === undefined ? undefined : earlierPass(stored.bytes);
    this.#tally = new Tally({ startedMs: this.#startedMs, earlier: this.#comparable, gapMs: this.#gapMs });
    if (!this.#isDeleted) await this.#roots.readHead();
    await this.#walk();
    await this.#deleteDoomed();
    const isReplaced = this.#isPassReplaced;
    if (isReplaced && !this.#dryRun) await this.#writePass(stored?.etag ?? null);
    return this.#tally.report({ isReplaced, atMs: await store.nowMs() });
  }

  /** An earlier pass over the project in the same state. One from days ahead was made by a clock that was wrong. */
  get #comparable(): EarlierPass | undefined {
    const earlier = this.#earlier;
    if (earlier === undefined || earlier.atMs > this.#startedMs + DAY_MS) return undefined;
    return earlier.isDeleted === this.#isDeleted ? earlier : undefined;
  }

  get #gapMs(): number {
    return this.#isDeleted ? DELETED_GAP_MS : PASS_GAP_MS;
  }

  get #isGapOver(): boolean {
    const earlier = this.#comparable;
    return earlier !== undefined && this.#startedMs - earlier.atMs >= this.#gapMs;
  }

  /** What an earlier pass found still waits until the gap is over. */
  get #isPassReplaced(): boolean {
    const earlier = this.#comparable;
    return earlier === undefined || earlier.count === 0 || this.#isGapOver;
  }

  get #options(): { readonly signal?: AbortSignal } {
    return this.#signal === undefined ? {} : { signal: this.#signal };
  }

  async #wasDeleted(): Promise<boolean> {
    const { store } = this.#context;
    const stored = await store.get(metaKey(this.#project), { ...this.#options, fresh: true });
    if (stored !== undefined) return decodeMetaOf(this.#project, stored.bytes).deletedAtMs !== 0;
    throw new MicError("not-found", `there is no project ${this.#project}`, {
      hint: "check the name, or list projects with `mic project list`",
    });
  }

  /** Lists everything. Loose content comes first, because its chunk lists name packs. */
  async #walk(): Promise<void> {
    const prefix = projectPrefix(this.#project);
    const loose = `${prefix}blobs/`;
    const { store } = this.#context;
    if (!this.#isDeleted) {
      const first = await store.list(loose, { ...this.#options, limit: 1 });
      if (first.objects.some(({ key }) => this.#isOld(parseStoredKey(this.#project, key)))) {
        await this.#roots.readSessions();
      }
    }
    await this.#list(loose, undefined);
    // "0" follows "/", and nothing comes before loose content.
    await this.#list(prefix, `${prefix}blobs0`);
  }

  async #list(prefix: string, from: string | undefined): Promise<void> {
    const { store } = this.#context;
    for (let after = from; ; ) {
      throwIfAborted(this.#signal);
      const page = await store.list(prefix, {
        ...this.#options,
        ...(after === undefined ? {} : { after }),
      });
      const listed = page.objects.map((object) => ({
        ...object,
        ...parseStoredKey(this.#project, object.key),
      }));
      if (!this.#isDeleted) await this.#roots.readLoose(listed.filter((each) => this.#mayNamePacks(each)));
      for (const object of listed) {
        this.#see(object);
        if (this.#doomed.length >= DELETE_TOGETHER) await this.#deleteDoomed();
      }
      this.#pace.passed(page.objects.length * OBJECTS_PER_KEY);
      if (page.next === undefined) return;
      after = page.next;
    }
  }

  #mayNamePacks(object: StoredKey): boolean {
    return object.kind === "blob" && (!this.#isOld(object) || this.#roots.isWanted(object.id));
  }

  #see(object: StoredKey & ListedObject): void {
    this.#tally.listed();
    if (this.#isKept(object)) return;
    const { days } = object;
    if (!this.#isOld(object)) {
      this.#tally.young(object.size, days + COLLECTABLE_DAYS);
      return;
    }
    if (this.#isGapOver && this.#comparable?.has(object) === true) {
      this.#doomed.push(object);
      return;
    }
    const hasRoom = this.#found.add(object);
    this.#tally.waits(object.size, hasRoom && this.#comparable?.has(object) === true);
  }

  #isKept({ kind, days, id, key }: StoredKey & ListedObject): boolean {
    if (key === headKey(this.#project) || key === metaKey(this.#project)) return true;
    if (key.startsWith(collectorPrefix(this.#project))) return true;
    if (this.#isDeleted) return false;
    if (kind === "session" || kind === "other") return true;
    // Nothing ever names what somebody uploaded past the server: its copy is named.
    if (kind === "staging") return false;
    return kind === "blob" ? this.#roots.isWanted(id) : this.#roots.isNamed(kind, days, id);
  }

  #isOld({ days }: StoredKey): boolean {
    return isCollectable(days, this.#startedMs);
  }

  /** After the head was read once more, so that what was listed was listed before. */
  async #deleteDoomed(): Promise<void> {
    const { store } = this.#context;
    const doomed = this.#doomed.splice(0);
    if (doomed.length === 0) return;
    if (this.#isDeleted !== (await this.#wasDeleted())) {
      throw new MicError("conflict", "the project was deleted or brought back meanwhile", {
        hint: "try again",
      });
    }
    if (!this.#isDeleted) await this.#roots.readHead();
    if ((await store.nowMs()) - this.#startedMs > PASS_MS_MAX) {
      throw new MicError("unreachable", "the pass took too long", { hint: "run it again: it goes on" });
    }
    const going = doomed.filter((object) => !this.#isKept(object));
    if (!this.#dryRun) {
      throwIfAborted(this.#signal);
      await store.delete(
        going.map(({ key }) => key),
        this.#options,
      );
    }
    for (const { size } of going) this.#tally.deleted(size);
  }

  /** Another collector that comes first has found the same: what it wrote will do. */
  async #writePass(expected: ETag | null): Promise<void> {
    const { store, random } = this.#context;
    const groups = this.#found.groups();
    if (expected === null && groups.length === 0) return;
    const bytes = encodeCollectionPass({
      isDeleted: this.#isDeleted,
      atMs: Math.ceil(await store.nowMs()),
      nonce: bytesToHex(random.bytes(NONCE_BYTES)),
      groups,
    });
    await store.commit([], { key: collectorPassKey(this.#project), expected, bytes }, this.#options);
  }
}

/** One that is damaged is worth nothing, and costs a day. Errors: `unsupported` for a newer one. */
function earlierPass(bytes: Uint8Array): EarlierPass | undefined {
  try {
    return new EarlierPass(decodeCollectionPass(bytes));
  } catch (error) {
    if (isMicError(error, "corrupt")) return undefined;
    throw error;
  }
}
