/** A large file on its way to the store: cut into chunks and framed in one pass, with bounded memory. */
import { hashObject, StreamHasher } from "../base/hash.ts";
import type { ObjectId } from "../base/ids.ts";
import { type Chunk, type EncodedChunkList, encodeChunkList } from "../codec/chunk-list.ts";
import { Chunker } from "./chunker.ts";
import type { FrameBuilder } from "./frame-builder.ts";

export interface LargeContentOptions {
  /** Takes the chunks; the caller takes its full frames after every push. */
  readonly builder: FrameBuilder;
  /** Ids that were framed before; added to. */
  readonly framed: Set<string>;
  /** Where a chunk was introduced, when it need not be framed. */
  readonly known?: (id: ObjectId) => Chunk | undefined;
}

export interface LargeContent {
  readonly id: ObjectId;
  /** Bytes. */
  readonly size: number;
  /** Not framed yet. */
  readonly list: EncodedChunkList;
}

export class LargeContentFramer {
  readonly #options: LargeContentOptions;
  readonly #chunker = new Chunker();
  readonly #whole = new StreamHasher();
  readonly #chunks: Chunk[] = [];
  #size = 0;

  constructor(options: LargeContentOptions) {
    this.#options = options;
  }

  /** The next bytes, which may be used again when it returns. */
  push(bytes: Uint8Array): void {
    this.#whole.update(bytes);
    this.#size += bytes.length;
    for (const chunk of this.#chunker.push(bytes)) this.#add(chunk);
  }

  /** Errors: `too-large` for more chunks than a list holds. */
  finish(): LargeContent {
    const last = this.#chunker.finish();
    if (last !== undefined) this.#add(last);
    return { id: this.#whole.digest(), size: this.#size, list: encodeChunkList({ chunks: this.#chunks }) };
  }

  #add(content: Uint8Array): void {
    const { builder, framed, known } = this.#options;
    const id = hashObject(content);
    const chunk = known?.(id);
    // Hint 0 would say that the chunk comes with the new list, which it then has to.
    if (chunk !== undefined && chunk.hint > 0) {
      this.#chunks.push(chunk);
      return;
    }
    this.#chunks.push({ id, length: content.length, hint: 0 });
    if (framed.has(id)) return;
    framed.add(id);
    builder.add("blob", id, content);
  }
}
