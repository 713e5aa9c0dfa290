/** Checks on streams of content, as far as they can be made without opening frames: what comes was asked for. */
import { MicError } from "../base/errors.ts";
import type { ObjectId } from "../base/ids.ts";
import { ancestorsOf, comparePaths, type TreePath } from "../base/path.ts";
import type { FetchItem } from "../forge/forge.ts";
import type { Frame, ObjectRef } from "../objects/frame.ts";

export function wrongAnswer(what: string, detail: string): MicError {
  return new MicError("corrupt", `the server's answer to ${what} is wrong: ${detail}`, {
    hint: "check the address; if it is right, the server is broken",
  });
}

/** Pages of things with paths, which must ascend over all of them and be among or below those asked for. */
export async function* ascending<T extends { readonly path: TreePath }>(
  what: string,
  pages: AsyncIterable<readonly T[]>,
  asked: readonly TreePath[] | undefined,
): AsyncGenerator<readonly T[]> {
  const check = new AscendingPaths(what, asked);
  for await (const page of pages) {
    check.page(page);
    yield page;
  }
}

class AscendingPaths {
  readonly #what: string;
  readonly #asked: ReadonlySet<TreePath> | undefined;
  #previous = "";

  constructor(what: string, asked: readonly TreePath[] | undefined) {
    this.#what = what;
    this.#asked = asked === undefined ? undefined : new Set(asked);
  }

  page(items: readonly { readonly path: TreePath }[]): void {
    let previous = this.#previous;
    for (const { path } of items) {
      if (previous !== "" && comparePaths(previous, path) >= 0) {
        throw wrongAnswer(this.#what, `${JSON.stringify(path)} after ${JSON.stringify(previous)}`);
      }
      if (!this.#wasAsked(path)) {
        throw wrongAnswer(this.#what, `${JSON.stringify(path)} was not asked for`);
      }
      previous = path;
    }
    this.#previous = previous;
  }

  #wasAsked(path: TreePath): boolean {
    const asked = this.#asked;
    if (asked === undefined || asked.has(path)) return true;
    return ancestorsOf(path).some((ancestor) => asked.has(ancestor));
  }
}

/** Changes in path order, then no more objects than they name, in no more frames than that. */
export async function* checkedFetch(
  items: AsyncIterable<FetchItem>,
  asked: readonly TreePath[] | undefined,
): AsyncGenerator<FetchItem> {
  const paths = new AscendingPaths("Fetch", asked);
  let contents = 0;
  let framesLeft: number | undefined;
  for await (const item of items) {
    if (item.kind === "changes") {
      if (framesLeft !== undefined) throw wrongAnswer("Fetch", "a change after the content");
      paths.page(item.changes);
      for (const { after } of item.changes) if (after !== undefined) contents++;
    } else if (item.kind === "content") {
      if (framesLeft !== undefined || item.objects > contents) {
        throw wrongAnswer("Fetch", `${item.objects} objects for ${contents} files`);
      }
      framesLeft = item.objects;
    } else if (framesLeft === undefined || framesLeft-- <= 0) {
      throw wrongAnswer("Fetch", "more frames than objects");
    }
    yield item;
  }
}

/** How far a fetch has come: its frames bring the contents of its changes in their order. */
export class FetchProgress {
  readonly #ids: ObjectId[] = [];
  readonly #hints: number[] = [];
  #last: readonly { readonly id: ObjectId }[] = [];
  hasAllChanges = false;

  note(item: FetchItem): void {
    if (item.kind === "content") this.hasAllChanges = true;
    else if (item.kind === "frame") this.#last = item.frame.objects;
    else {
      for (const { after } of item.changes) {
        if (after === undefined || after.entry.size === 0) continue;
        this.#ids.push(after.entry.chunks ?? after.entry.id);
        this.#hints.push(after.hint);
      }
    }
  }

  /** What follows the last frame, each object once. */
  rest(): ObjectRef[] {
    let next = 0;
    for (const { id } of this.#last) next = Math.max(next, this.#ids.indexOf(id) + 1);
    const seen = new Set(this.#ids.slice(0, next));
    const rest: ObjectRef[] = [];
    for (let i = next; i < this.#ids.length; i++) {
      const id = this.#ids[i]!;
      if (seen.has(id)) continue;
      seen.add(id);
      rest.push({ id, hint: this.#hints[i]! });
    }
    return rest;
  }
}

/** What of the wanted objects has not come yet, so that a broken answer is asked for from there on. */
export class WantedObjects {
  readonly #wants: readonly ObjectRef[];
  readonly #missing: Set<ObjectId>;

  constructor(wants: readonly ObjectRef[]) {
    this.#wants = wants;
    this.#missing = new Set(wants.map(({ id }) => id));
  }

  get isComplete(): boolean {
    return this.#missing.size === 0;
  }

  /** In the order asked. */
  missing(): readonly ObjectRef[] {
    return this.#missing.size === this.#wants.length
      ? this.#wants
      : this.#wants.filter(({ id }) => this.#missing.has(id));
  }

  /** Errors: `corrupt` for a frame without anything that is still wanted, or an incomplete answer never ends. */
  take(frame: Frame): void {
    const before = this.#missing.size;
    for (const { id } of frame.objects) this.#missing.delete(id);
    if (this.#missing.size === before) throw wrongAnswer("ReadObjects", "a frame that was not asked for");
  }
}
