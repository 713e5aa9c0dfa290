/**
 * Takes packs out of a head's lists and puts merged ones in their place. Of the pages, only those are written anew
 * that change, and what has become short moves closer to the head.
 */
import { hashObject } from "../../base/hash.ts";
import type { Epoch, ProjectId } from "../../base/ids.ts";
import { encodeManifestPage, type ManifestPage } from "../../codec/manifest-page.ts";
import type { ManifestPack } from "../../codec/pack-entry.ts";
import type { PageRef } from "../../codec/page-ref.ts";
import { pageKey } from "../../objects/keys.ts";
import type { Put } from "../../store/object-store.ts";
import {
  HEAD_PACKS_MAX,
  PAGE_FANOUT,
  PAGE_PACKS,
  type PackLists,
  type PageCache,
  rangeOf,
} from "./manifest.ts";

/** A head takes packs back from its last page while it then has this many: it still has room for landings. */
const HEAD_PACKS_TAKEN_BACK = HEAD_PACKS_MAX / 2;

export interface PackReplacement {
  /** In the order of the lists. */
  readonly removed: readonly ManifestPack[];
  /** They end where the last of `removed` ends. */
  readonly added: readonly ManifestPack[];
}

export interface ListsPlace {
  readonly project: ProjectId;
  readonly epoch: Epoch;
  readonly cache: PageCache;
}

/** `undefined` unless everything that is to be removed is listed. Errors: those of reading pages. */
export async function replacePacks(
  lists: PackLists,
  replacement: PackReplacement,
  place: ListsPlace,
): Promise<(PackLists & { readonly puts: readonly Put[] }) | undefined> {
  return await new Rewrite(replacement, place).run(lists);
}

class Rewrite {
  readonly #place: ListsPlace;
  readonly #removed: ReadonlySet<string>;
  readonly #added: readonly ManifestPack[];
  /** After this one stand the added ones. */
  readonly #lastRemoved: string;
  readonly #first: number;
  readonly #last: number;
  #found = 0;
  /** By key: of what is written on the way, only what the lists lead to in the end is stored. */
  readonly #written = new Map<string, { readonly page: ManifestPage; readonly put: Put }>();

  constructor({ removed, added }: PackReplacement, place: ListsPlace) {
    this.#place = place;
    this.#added = added;
    this.#removed = new Set(removed.map(nameOf));
    this.#lastRemoved = nameOf(removed.at(-1)!);
    const { first, last } = rangeOf(removed);
    this.#first = first;
    this.#last = last;
  }

  async run(lists: PackLists): Promise<(PackLists & { readonly puts: readonly Put[] }) | undefined> {
    const pages = await this.#rewriteRefs(lists.pages);
    const packs = this.#rewritePacks(lists.packs);
    if (this.#found !== this.#removed.size) return undefined;
    const next = await this.#takeBack({ pages, packs });
    return { ...next, puts: this.#putsOf(next.pages) };
  }

  #rewritePacks(packs: readonly ManifestPack[]): readonly ManifestPack[] {
    const kept: ManifestPack[] = [];
    for (const pack of packs) {
      const name = nameOf(pack);
      if (!this.#removed.has(name)) {
        kept.push(pack);
        continue;
      }
      this.#found++;
      if (name === this.#lastRemoved) kept.push(...this.#added);
    }
    return kept.length === packs.length && kept.every((pack, i) => pack === packs[i]) ? packs : kept;
  }

  async #rewriteRefs(refs: readonly PageRef[]): Promise<readonly PageRef[]> {
    const kept: PageRef[] = [];
    /** The packs of the last of `kept`, when that was written here and may take more. */
    let open: readonly ManifestPack[] | undefined;
    for (const ref of refs) {
      if (ref.last < this.#first || ref.first > this.#last) {
        open = undefined;
        kept.push(ref);
        continue;
      }
      const page = await this.#place.cache.load(ref);
      if (!("packs" in page)) {
        open = undefined;
        const pages = await this.#rewriteRefs(page.pages);
        if (pages === page.pages) kept.push(ref);
        else if (pages.length > 0) kept.push(this.#write({ level: page.level, pages }));
        continue;
      }
      const packs = this.#rewritePacks(page.packs);
      if (packs === page.packs) {
        open = undefined;
        kept.push(ref);
        continue;
      }
      if (packs.length === 0) continue;
      const before = open ?? (await this.#shortPacksOf(kept.at(-1)));
      if (before !== undefined && before.length + packs.length <= PAGE_PACKS) {
        kept.pop();
        open = [...before, ...packs];
      } else open = packs;
      kept.push(this.#write({ level: 0, packs: open }));
    }
    return kept.length === refs.length && kept.every((ref, i) => ref === refs[i]) ? refs : kept;
  }

  /** The packs of a page that is hardly worth a page. */
  async #shortPacksOf(ref: PageRef | undefined): Promise<readonly ManifestPack[] | undefined> {
    if (ref === undefined || ref.level > 0) return undefined;
    const page = await this.#load(ref);
    return "packs" in page && page.packs.length < PAGE_PACKS / 2 ? page.packs : undefined;
  }

  /**
   * What stands in the last pages, as far as the head has room for it. Pages keep their order, those of higher
   * levels first.
   */
  async #takeBack(lists: PackLists): Promise<PackLists> {
    let { pages, packs } = lists;
    for (;;) {
      const ref = pages.at(-1);
      if (ref === undefined) break;
      const page = await this.#load(ref);
      if ("packs" in page) {
        if (page.packs.length + packs.length > HEAD_PACKS_TAKEN_BACK) break;
        pages = pages.slice(0, -1);
        packs = [...page.packs, ...packs];
      } else {
        if (page.pages.length > PAGE_FANOUT / 2) break;
        pages = [...pages.slice(0, -1), ...page.pages];
      }
    }
    return { pages, packs };
  }

  async #load(ref: PageRef): Promise<ManifestPage> {
    const key = pageKey(this.#place.project, ref.epoch, ref.hash);
    return this.#written.get(key)?.page ?? (await this.#place.cache.load(ref));
  }

  #write(page: ManifestPage): PageRef {
    const { project, epoch } = this.#place;
    const bytes = encodeManifestPage(page);
    const hash = hashObject(bytes);
    const key = pageKey(project, epoch, hash);
    this.#written.set(key, { page, put: { key, bytes } });
    const range = rangeOf("packs" in page ? page.packs : page.pages);
    return { hash, epoch, level: page.level, ...range };
  }

  #putsOf(refs: readonly PageRef[]): Put[] {
    const puts: Put[] = [];
    const pending = [...refs];
    for (let ref = pending.pop(); ref !== undefined; ref = pending.pop()) {
      const written = this.#written.get(pageKey(this.#place.project, ref.epoch, ref.hash));
      if (written === undefined) continue;
      puts.push(written.put);
      this.#place.cache.add(ref.hash, written.page);
      if ("pages" in written.page) pending.push(...written.page.pages);
    }
    return puts;
  }
}

/** The same pack may be listed more than once, for other positions. */
function nameOf({ pack, epoch, first, last }: ManifestPack): string {
  return `${pack} ${epoch} ${first} ${last}`;
}
