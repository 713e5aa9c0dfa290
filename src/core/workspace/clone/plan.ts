/** What a clone has to write, and by which content. Files are numbers: their place in the clone's list. */
import { asBuffer } from "../../base/bytes.ts";
import { corrupt } from "../../base/errors.ts";
import { OBJECT_ID_BYTES } from "../../base/ids.ts";
import type { Frame, ObjectRef } from "../../objects/frame.ts";
import type { CloneList } from "./list.ts";
import { type FrameJob, ROW_FIELDS } from "./writer.ts";

const NO_FILE = -1;
const SLOTS_LEAST = 64;

export class ClonePlan {
  readonly empty: number[] = [];
  readonly chunked: number[] = [];
  readonly #files: CloneList;
  /** First files of their content, plus one, by the first bytes of the id; 0 is free. */
  readonly #slots: Int32Array;
  /** By first file: the last one with this content. */
  readonly #last: Int32Array;
  /** By file: the next one with the same content. */
  readonly #next: Int32Array;
  /** By first file. */
  readonly #isMissing: Uint8Array;
  #missing = 0;
  left = 0;

  constructor(files: CloneList) {
    this.#files = files;
    let slots = SLOTS_LEAST;
    while (slots < files.length * 2) slots *= 2;
    this.#slots = new Int32Array(slots);
    this.#last = new Int32Array(files.length);
    this.#next = new Int32Array(files.length).fill(NO_FILE);
    this.#isMissing = new Uint8Array(files.length);
  }

  add(file: number): void {
    this.left += 1;
    if (this.#files.size(file) === 0) this.empty.push(file);
    else if (this.#files.isChunked(file)) this.chunked.push(file);
    else {
      const slot = this.#slotOf(this.#files.ids, file * OBJECT_ID_BYTES);
      let first = this.#slots[slot]! - 1;
      if (first === NO_FILE) {
        first = file;
        this.#slots[slot] = file + 1;
        this.#isMissing[file] = 1;
        this.#missing += 1;
      } else this.#next[this.#last[first]!] = file;
      this.#last[first] = file;
    }
  }

  /** Slot of the content with the id at `at`, or the free one where it belongs. */
  #slotOf(id: Buffer, at: number): number {
    const slots = this.#slots;
    const { ids } = this.#files;
    const mask = slots.length - 1;
    for (let slot = id.readInt32LE(at) & mask; ; slot = (slot + 1) & mask) {
      const first = slots[slot]! - 1;
      if (first === NO_FILE) return slot;
      const start = first * OBJECT_ID_BYTES;
      if (ids.compare(id, at, at + OBJECT_ID_BYTES, start, start + OBJECT_ID_BYTES) === 0) return slot;
    }
  }

  missing(): ObjectRef[] {
    const refs: ObjectRef[] = [];
    if (this.#missing === 0) return refs;
    for (let file = 0; file < this.#isMissing.length; file++) {
      if (this.#isMissing[file] === 0) continue;
      refs.push({ id: this.#files.id(file), hint: this.#files.hint(file) });
    }
    return refs;
  }

  /** The files that this frame completes; undefined when there are none. They count as written. */
  jobFor(frame: Frame): FrameJob | undefined {
    const wanted: number[] = [];
    const from: number[] = [];
    for (let i = 0; i < frame.objects.length; i++) {
      scratch.write(frame.objects[i]!.id, 0, OBJECT_ID_BYTES, "hex");
      const first = this.#slots[this.#slotOf(scratch, 0)]! - 1;
      if (first === NO_FILE || this.#isMissing[first] === 0) continue;
      this.#isMissing[first] = 0;
      this.#missing -= 1;
      for (let file = first; file !== NO_FILE; file = this.#next[file]!) {
        wanted.push(file);
        from.push(i);
      }
    }
    return wanted.length === 0 ? undefined : this.#job(frame, wanted, from);
  }

  /** `from`: of each wanted file, the number of its object in the frame. */
  #job(frame: Frame, wanted: readonly number[], from: readonly number[]): FrameJob {
    const files = this.#files;
    const rows = new Uint32Array(wanted.length * ROW_FIELDS);
    const ids = new Uint8Array(wanted.length * OBJECT_ID_BYTES);
    const paths: string[] = new Array(wanted.length);
    for (let i = 0, at = 0; i < wanted.length; i++, at += ROW_FIELDS) {
      const object = frame.objects[from[i]!]!;
      const file = wanted[i]!;
      const path = files.path(file);
      if (object.length !== files.size(file)) {
        throw corrupt("the project's tree", `${path} has ${object.length} bytes, not ${files.size(file)}`);
      }
      rows[at] = object.offset;
      rows[at + 1] = object.length;
      rows[at + 2] = files.kind(file);
      rows[at + 3] = file;
      ids.set(files.idBytes(file), i * OBJECT_ID_BYTES);
      paths[i] = path;
    }
    const { stored, rawLength, compressed } = frame;
    return { stored, rawLength, compressed, rows, ids, paths: paths.join("\0") };
  }
}

const scratch = asBuffer(new Uint8Array(OBJECT_ID_BYTES));
