/**
 * Secrets in what landings bring. Content that they only name is in history already, and is not read. Each content is
 * read once, a frame at a time, whatever the number of its paths; of large files the beginning.
 */
import { invariant } from "../../base/errors.ts";
import { type ObjectId, objectIdFromBytes, objectIdToBytes, type Position } from "../../base/ids.ts";
import { listOf } from "../../base/list.ts";
import type { TreePath } from "../../base/path.ts";
import { isSymlinkEntry, TREE_ENTRY_CHUNKS_OFFSET, TREE_ENTRY_ID_OFFSET } from "../../codec/tree-entry.ts";
import { IdNumbers } from "../../objects/id-numbers.ts";
import type { SecretFinding } from "../../secrets/refusal.ts";
import { ENVIRONMENT_KIND } from "../../secrets/rules.ts";
import { type FoundSecret, SCANNED_BYTES_MAX, SearchedContent } from "../../secrets/scanner.ts";
import type { Operation } from "../forge.ts";
import { BroughtContent } from "./brought-content.ts";
import { editOf } from "./edits.ts";
import { sameContent } from "./locate-content.ts";
import type { PreparedLanding } from "./prepared-landing.ts";
import { ReadBeforeLanding, type ReadPlaces } from "./read-before-landing.ts";
import { contentIdAt, Introduced, WantedContent } from "./wanted-content.ts";

/** More are not said, nor looked for. */
const FINDINGS_MAX = 20;

export interface SearchRequest {
  /** Those of one call, one after the other; they have their frames and packs together. */
  readonly landings: readonly PreparedLanding[];
  /** Which of them the policy is for. */
  readonly isAsked: (landing: number) => boolean;
  readonly places: Omit<ReadPlaces, "frames">;
}

/** `landing`: number of the landing that they are in, the first of those where some were found. Errors: those of reading. */
export async function findSecretsBrought(
  request: SearchRequest,
): Promise<{ readonly landing: number; readonly secrets: readonly SecretFinding[] } | undefined> {
  const search = new Search(request);
  await search.run();
  return search.result();
}

interface Found {
  readonly landing: number;
  readonly edit: number;
  readonly secrets: readonly SecretFinding[];
}

class Search {
  readonly #request: SearchRequest;
  readonly #reading: ReadBeforeLanding;
  readonly #whole: WantedContent;
  readonly #chunked: WantedContent;
  /** Of each landing, the number of its first edit. */
  readonly #starts: readonly number[];
  readonly #found: Found[] = [];
  #count = 0;
  #introduced: Introduced | undefined;
  /** Of the landing whose operations were read last. */
  #puts: { readonly position: number; readonly ids: IdNumbers } | undefined;

  constructor(request: SearchRequest) {
    const { landings, places } = request;
    this.#request = request;
    this.#reading = new ReadBeforeLanding({ ...places, frames: landings[0]?.frames ?? [] });
    const starts: number[] = [];
    let edits = 0;
    for (const landing of landings) {
      starts.push(edits);
      edits += landing.edits.length;
    }
    this.#starts = starts;
    this.#whole = new WantedContent(edits, TREE_ENTRY_ID_OFFSET);
    this.#chunked = new WantedContent(edits, TREE_ENTRY_CHUNKS_OFFSET);
  }

  async run(): Promise<void> {
    this.#collect();
    const whole = this.#whole;
    if (whole.count === 0 && this.#chunked.count === 0) return;
    const use = ({ id, content }: { readonly id: ObjectId; readonly content: Uint8Array }) =>
      this.#look(whole, whole.take(objectIdToBytes(id)), content);
    if (whole.count > 0) await this.#reading.eachSent(use);
    if (!this.#isFull) {
      const hint = this.#request.places.snapshot.head.position;
      const left = whole.left();
      const refs = listOf(left.length, (i) => ({ id: objectIdFromBytes(whole.idOf(left[i]!)), hint }));
      await this.#reading.stream(refs, use);
    }
    for (const number of this.#chunked.left()) {
      if (this.#isFull) return;
      const id = this.#chunked.idOf(number);
      const list = { id: objectIdFromBytes(id), hint: this.#request.places.snapshot.head.position };
      const start = await this.#reading.startOf(list, SCANNED_BYTES_MAX);
      await this.#look(this.#chunked, this.#chunked.take(id), start);
    }
    invariant(this.#isFull || whole.left().length === 0, "content was not searched");
  }

  result(): { readonly landing: number; readonly secrets: readonly SecretFinding[] } | undefined {
    const landing = Math.min(...this.#found.map((found) => found.landing));
    if (this.#found.length === 0) return undefined;
    const own = this.#found.filter((found) => found.landing === landing).sort((a, b) => a.edit - b.edit);
    return { landing, secrets: own.flatMap(({ secrets }) => secrets) };
  }

  get #isFull(): boolean {
    return this.#count >= FINDINGS_MAX;
  }

  #collect(): void {
    const { landings, isAsked, places } = this.#request;
    const [first] = landings;
    if (first === undefined) return;
    const brought = new BroughtContent(first.sent, places.uploads);
    for (const [landing, { edits }] of landings.entries()) {
      if (!isAsked(landing)) continue;
      for (let i = 0; i < edits.length; i++) {
        const value = edits.value(i);
        if (value === undefined || isSymlinkEntry(value) || brought.lengthOf(value) === -1) continue;
        const wanted = value.length > TREE_ENTRY_CHUNKS_OFFSET ? this.#chunked : this.#whole;
        wanted.add(value, this.#starts[landing]! + i);
      }
    }
  }

  /** `first`: the first edit that puts the content, of which the others follow; -1: none. Returns false at the end. */
  #look(wanted: WantedContent, first: number, content: Uint8Array): boolean | Promise<boolean> {
    if (first === -1) return true;
    const searched = new SearchedContent(content);
    for (let number = first; number !== -1; number = wanted.next(number)) {
      if (searched.findAt(this.#pathOf(number)).length > 0) return this.#keep(wanted, number, searched);
    }
    return true;
  }

  /** The same where something was found at `first`. */
  async #keep(wanted: WantedContent, first: number, searched: SearchedContent): Promise<boolean> {
    for (let number = first; number !== -1 && !this.#isFull; number = wanted.next(number)) {
      const path = this.#pathOf(number);
      const found = searched.findAt(path);
      if (found.length === 0) continue;
      const landing = this.#landingOf(number);
      const edit = number - this.#starts[landing]!;
      const left = await this.#worthSaying(landing, edit, found);
      if (left.length === 0) continue;
      const secrets = left.map(({ line, kind }) => ({ path, line, kind }));
      this.#found.push({ landing, edit, secrets });
      this.#count += left.length;
    }
    return !this.#isFull;
  }

  #pathOf(number: number): TreePath {
    const landing = this.#landingOf(number);
    return this.#request.landings[landing]!.request.operations.at(number - this.#starts[landing]!)!.path;
  }

  #landingOf(number: number): number {
    if (this.#starts.length === 1) return 0;
    const after = this.#starts.findIndex((start) => start > number);
    return after === -1 ? this.#starts.length - 1 : after - 1;
  }

  /** As the workspace sees it: a mode that changes and an environment file that is there already are nobody's news. */
  async #worthSaying(
    landing: number,
    edit: number,
    found: readonly FoundSecret[],
  ): Promise<readonly FoundSecret[]> {
    const { edits } = this.#request.landings[landing]!;
    const value = edits.value(edit)!;
    const before = await this.#before(landing, edits.key(edit));
    if (before !== undefined && sameContent(before, value)) return [];
    const isModified = before !== undefined && !isSymlinkEntry(before);
    const left = isModified ? found.filter(({ kind }) => kind !== ENVIRONMENT_KIND) : found;
    return left.length > 0 && (await this.#isOld(landing, edit, value)) ? [] : left;
  }

  /** What stands at a key before one of the landings. */
  async #before(landing: number, key: Uint8Array): Promise<Uint8Array | undefined> {
    for (let i = landing - 1; i >= 0; i--) {
      const { edits } = this.#request.landings[i]!;
      const at = editOf(edits, key);
      if (at !== -1) return edits.value(at);
    }
    return (await this.#request.places.snapshot.headTree().find(key))?.value;
  }

  /** Imported content that came once more: a landing before put it, one of these or the one that the hint names. */
  async #isOld(landing: number, edit: number, value: Uint8Array): Promise<boolean> {
    const { landings, places } = this.#request;
    const { request, given } = landings[landing]!;
    if (given === undefined) return false;
    this.#introduced ??= new Introduced(landings);
    if (this.#introduced.landingOf(value) < landing) return true;
    const operation = request.operations.at(edit)!;
    const hint = operation.kind === "put" ? operation.hint : 0;
    const { snapshot } = places;
    if (hint === 0 || hint > snapshot.head.position) return false;
    // A pack may hold what no landing put: only the operations tell.
    if (this.#puts?.position !== hint) {
      this.#puts = { position: hint, ids: idsPut(await snapshot.operations(hint as Position)) };
    }
    return this.#puts.ids.find(value, contentIdAt(value)) !== -1;
  }
}

function idsPut(operations: readonly Operation[]): IdNumbers {
  const ids = new IdNumbers(operations.length);
  for (const operation of operations) {
    if (operation.kind === "put") ids.add(objectIdToBytes(operation.entry.chunks ?? operation.entry.id));
  }
  return ids;
}
