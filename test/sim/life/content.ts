/** Content as a workspace sends it: small files whole, larger ones as chunks and a list of them. */
import { hashObject } from "../../../src/core/base/hash.ts";
import type { ObjectId } from "../../../src/core/base/ids.ts";
import { CHUNK_THRESHOLD_BYTES } from "../../../src/core/base/limits.ts";
import type { Chunk } from "../../../src/core/codec/chunk-list.ts";
import type { TreeEntry } from "../../../src/core/codec/tree-entry.ts";
import type { Frame } from "../../../src/core/objects/frame.ts";
import { FrameBuilder } from "../../../src/core/objects/frame-builder.ts";
import {
  type LargeContent,
  LargeContentFramer,
  type LargeContentOptions,
} from "../../../src/core/objects/large-content.ts";

const FRAME_BYTES = 4096;

export type Content = Pick<TreeEntry, "id" | "size" | "chunks">;

/** Chunks that are in the project already. */
export type KnownChunks = ReadonlyMap<ObjectId, Chunk>;

/** What a tree says of it. */
export function contentOf(bytes: Uint8Array): Content {
  if (bytes.length <= CHUNK_THRESHOLD_BYTES) return { id: hashObject(bytes), size: bytes.length };
  const { id, size, list } = frameLarge(bytes, { builder: newBuilder(), framed: new Set() });
  return { id, size, chunks: hashObject(list.content) };
}

/** The object that holds it, or that says which ones do. */
export function objectOf({ id, chunks }: Pick<TreeEntry, "id" | "chunks">): ObjectId {
  return chunks ?? id;
}

/** Everything that these need, but for chunks that are known. */
export function framesOf(contents: Iterable<Uint8Array>, known: KnownChunks): Frame[] {
  const builder = newBuilder();
  const framed = new Set<string>();
  for (const bytes of contents) {
    if (bytes.length <= CHUNK_THRESHOLD_BYTES) {
      builder.add("blob", hashObject(bytes), bytes);
      continue;
    }
    const { list } = frameLarge(bytes, { builder, framed, known: (id) => known.get(id) });
    builder.add("chunk-list", hashObject(list.content), list.content, list.sidecar);
  }
  return builder.finish();
}

function newBuilder(): FrameBuilder {
  return new FrameBuilder({ rawTarget: FRAME_BYTES, level: "store" });
}

function frameLarge(bytes: Uint8Array, options: LargeContentOptions): LargeContent {
  const framer = new LargeContentFramer(options);
  framer.push(bytes);
  return framer.finish();
}
