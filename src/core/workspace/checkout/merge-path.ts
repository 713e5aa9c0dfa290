/** Three-way merge of what stands at one path: kinds first, then content, line by line where it is text. */
import { EMPTY_BYTES, equalBytes } from "../../base/bytes.ts";
import { hashObject } from "../../base/hash.ts";
import type { ConflictKind } from "../../codec/conflict-state.ts";
import { type ContentSide, sameSide } from "../../codec/content-side.ts";
import { isBinary, mergeText } from "../../merge/merge3.ts";

/** Versions above this are not merged line by line; the merged file has to fit one frame. */
export const MERGE_BYTES_MAX = 3 << 20;

export interface MergeLabels {
  readonly ours: string;
  readonly base: string;
  readonly theirs: string;
}

export interface MergeSides {
  readonly base: ContentSide | undefined;
  readonly ours: ContentSide | undefined;
  readonly theirs: ContentSide | undefined;
}

export interface MergeReaders {
  /** Content of `ours`, which is in the workspace. */
  readOurs(): Promise<Uint8Array>;
  readOther(side: ContentSide): Promise<Uint8Array>;
  readonly labels: MergeLabels;
}

/** `bytes` are given where the content of `side` is new: neither ours nor the project's. */
export type MergeOutcome =
  | { readonly kind: "clean"; readonly side: ContentSide | undefined; readonly bytes?: Uint8Array }
  | {
      readonly kind: "conflict";
      readonly conflict: ConflictKind;
      /** What to leave in the workspace. */
      readonly side: ContentSide | undefined;
      readonly bytes?: Uint8Array;
    };

export async function mergePath(sides: MergeSides, readers: MergeReaders): Promise<MergeOutcome> {
  const { base, ours, theirs } = sides;
  if (sameSide(ours, theirs)) return { kind: "clean", side: theirs };
  if (sameSide(base, ours)) return { kind: "clean", side: theirs };
  if (sameSide(base, theirs)) return { kind: "clean", side: ours };
  if (ours === undefined) return { kind: "conflict", conflict: "deleted-by-us", side: undefined };
  if (theirs === undefined) return { kind: "conflict", conflict: "deleted-by-them", side: ours };
  return mergeContent(base, ours, theirs, readers);
}

async function mergeContent(
  base: ContentSide | undefined,
  ours: ContentSide,
  theirs: ContentSide,
  readers: MergeReaders,
): Promise<MergeOutcome> {
  const oursLink = ours.entry.kind === "symlink";
  const theirsLink = theirs.entry.kind === "symlink";
  if (oursLink !== theirsLink) return { kind: "conflict", conflict: "kind", side: ours };
  if (oursLink) return { kind: "conflict", conflict: "binary", side: ours };
  // Of two values, two sides that both left the base's agree; without a base they may not.
  const baseKind = base?.entry.kind;
  const kind =
    ours.entry.kind === theirs.entry.kind || baseKind === theirs.entry.kind
      ? ours.entry.kind
      : baseKind === ours.entry.kind
        ? theirs.entry.kind
        : undefined;
  if (kind === undefined) return { kind: "conflict", conflict: "kind", side: ours };
  const withKind = (side: ContentSide): ContentSide => ({ entry: { ...side.entry, kind }, hint: side.hint });
  if (ours.entry.id === theirs.entry.id || base?.entry.id === ours.entry.id) {
    return { kind: "clean", side: withKind(theirs) };
  }
  if (base?.entry.id === theirs.entry.id) return { kind: "clean", side: withKind(ours) };
  const binary: MergeOutcome = { kind: "conflict", conflict: "binary", side: ours };
  const mergeable = (side: ContentSide | undefined): boolean =>
    side === undefined || side.entry.size <= MERGE_BYTES_MAX;
  if (!mergeable(base) || !mergeable(ours) || !mergeable(theirs)) return binary;
  const baseText =
    base === undefined || base.entry.kind === "symlink" ? EMPTY_BYTES : await readers.readOther(base);
  const oursText = await readers.readOurs();
  const theirsText = await readers.readOther(theirs);
  if (isBinary(baseText) || isBinary(oursText) || isBinary(theirsText)) return binary;
  const merged = mergeText(baseText, oursText, theirsText, { labels: readers.labels, style: "merge" });
  if (equalBytes(merged.bytes, theirsText) && merged.kind === "clean") {
    return { kind: "clean", side: withKind(theirs) };
  }
  const side: ContentSide = {
    entry: { kind, size: merged.bytes.length, id: hashObject(merged.bytes) },
    hint: 0,
  };
  return merged.kind === "clean"
    ? { kind: "clean", side, bytes: merged.bytes }
    : { kind: "conflict", conflict: "content", side, bytes: merged.bytes };
}
