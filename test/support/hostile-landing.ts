/** A landing that no forge would accept, written into the store behind the forge's back. */
import { utf8 } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { nextHlc } from "../../src/core/base/hlc.ts";
import { epochOf, objectIdFromBytes, type Position, type ProjectId } from "../../src/core/base/ids.ts";
import { comparePaths, type TreePath } from "../../src/core/base/path.ts";
import { mintLandingId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { encodeHead } from "../../src/core/codec/head.ts";
import { encodeHints } from "../../src/core/codec/hints.ts";
import { encodeLandingRecord } from "../../src/core/codec/landing-record.ts";
import { type EncodableOperation, encodeOperations } from "../../src/core/codec/operations.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import { type EntryKind, encodeTreeEntry } from "../../src/core/codec/tree-entry.ts";
import type { Operation, PositionRef } from "../../src/core/forge/forge.ts";
import { EditsWriter } from "../../src/core/forge/landing/edits.ts";
import { ProjectStore } from "../../src/core/forge/project-store.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import { headKey, packKey } from "../../src/core/objects/keys.ts";
import { editTree } from "../../src/core/prolly/edit.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";

export interface HostileEntry {
  /** Any text; `/` separates. Not checked. */
  readonly path: string;
  readonly content: string;
  readonly kind?: EntryKind;
  /** Leave the content out of the pack. */
  readonly withoutContent?: boolean;
}

/** What a landing says of itself; not checked either. */
export interface HostileTexts {
  readonly goal?: string;
  readonly author?: string;
  readonly agent?: string;
}

/** Lands the entries as the next position; open forges see it at their next look at the head. */
export async function landHostile(
  store: ObjectStore,
  project: ProjectId,
  entries: readonly HostileEntry[],
  texts: HostileTexts = {},
): Promise<PositionRef> {
  const ports = { clock: systemClock, random: systemRandom };
  const limits = { cacheBytes: 1 << 20, trustWriters: true };
  const snapshot = await new ProjectStore({ store, project, ...ports, ...limits }).snapshot();
  const { head } = snapshot;
  const position = (head.position + 1) as Position;
  const frames = new FrameBuilder({ rawTarget: 256 << 10 });
  const operations: EncodableOperation[] = [];
  const named: Operation[] = [];
  for (const { path, content, kind = "file", withoutContent = false } of entries) {
    const bytes = utf8(content);
    const id = hashObject(bytes);
    if (!withoutContent) frames.add("blob", id, bytes);
    const entry = { kind, size: bytes.length, id };
    named.push({ kind: "put", path: path as TreePath, entry, hint: position });
    const value = encodeTreeEntry(entry);
    operations.push({ key: utf8(path.replaceAll("/", "\0")), value, hint: position });
  }
  operations.sort((a, b) => Buffer.compare(a.key, b.key));
  const tree = await editTree(snapshot.headTree(), operations, {
    position,
    emit: (node) => frames.add("node", objectIdFromBytes(node.hash), node.bytes, encodeHints(node.hints)),
  });
  named.sort((a, b) => comparePaths(a.path, b.path));
  const landingId = mintLandingId(systemRandom);
  const base = { position: head.position, root: head.root };
  const digest = new EditsWriter(base, named.length);
  for (const operation of named) digest.add(operation);
  const hlc = nextHlc(systemClock.nowMs(), head.hlc);
  const record = encodeLandingRecord({
    landingId,
    session: "00".repeat(16) as never,
    position,
    hlc,
    parentRoot: head.root,
    root: tree.root,
    rootHint: tree.hint,
    base,
    digest: digest.finish().digest,
    operationCount: operations.length,
    goal: texts.goal ?? "hostile",
    author: texts.author ?? "Mallory",
    agent: texts.agent ?? "",
    decisions: [],
    conversation: [],
    packs: [],
    operations: { kind: "inline", bytes: encodeOperations(operations, position) },
  });
  frames.add("record", hashObject(record), record);
  const pack = encodePack(frames.finish());
  const epoch = epochOf(await store.nowMs());
  const entry = { pack: pack.id, epoch, hasRecords: true, first: position, last: position } as const;
  const bytes = encodeHead({
    ...head,
    position,
    root: tree.root,
    rootHint: tree.hint,
    hlc,
    nonce: mintLandingId(systemRandom),
    ring: [...head.ring, landingId],
    packs: [...head.packs, { ...entry, size: pack.bytes.length, indexLength: pack.indexLength }],
  });
  const outcome = await store.commit([{ key: packKey(project, epoch, pack.id), bytes: pack.bytes }], {
    key: headKey(project),
    expected: snapshot.etag,
    bytes,
  });
  if (outcome.kind !== "committed") throw new Error(`the swap was ${outcome.kind}`);
  return { position, root: tree.root };
}
