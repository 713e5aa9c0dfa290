/** What a clone has to write, and by which content. Files are numbers: their place in the clone's list. */
import { asBuffer } from "../base/bytes.ts";
import { corrupt } from "../base/errors.ts";
import { OBJECT_ID_BYTES } from "../base/ids.ts";
import type { Frame, ObjectRef } from "../objects/frame.ts";
import { IdNumbers } from "../objects/id-numbers.ts";
import type { CloneList } from "./clone-list.ts";
import { type FrameJob, ROW_FIELDS } from "./clone-writer.ts";

const NO_FILE = -1;

export class ClonePlan {
  readonly empty: number[] = [];
  readonly chunked: number[] = [];
  readonly #files: CloneList;
  readonly #contents = new IdNumbers();
  /** By content: the first file that has it, and the last. */
  readonly #first: Int32Array;
  readonly #last: Int32Array;
  /** By file: the next one with the same content. */
  readonly #next: Int32Array;
  /** By content. */
  readonly #isWritten: Uint8Array;
  #written = 0;
  left = 0;

  constructor(files: CloneList) {
    this.#files = files;
    this.#first = new Int32Array(files.length);
    this.#last = new Int32Array(files.length);
    this.#next = new Int32Array(files.length).fill(NO_FILE);
    this.#isWritten = new Uint8Array(files.length);
  }

  add(file: number): void {
    this.left += 1;
    if (this.#files.size(file) === 0) this.empty.push(file);
    else if (this.#files.isChunked(file)) this.chunked.push(file);
    else {
      const known = this.#contents.count;
      const content = this.#contents.add(this.#files.idBytes(file));
      if (content === known) this.#first[content] = file;
      else this.#next[this.#last[content]!] = file;
      this.#last[content] = file;
    }
  }

  missing(): ObjectRef[] {
    const refs: ObjectRef[] = [];
    if (this.#written === this.#contents.count) return refs;
    for (let content = 0; content < this.#contents.count; content++) {
      if (this.#isWritten[content] === 1) continue;
      const file = this.#first[content]!;
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
      const content = this.#contents.find(scratch);
      if (content === -1 || this.#isWritten[content] === 1) continue;
      this.#isWritten[content] = 1;
      this.#written += 1;
      for (let file = this.#first[content]!; file !== NO_FILE; file = this.#next[file]!) {
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
