/**
 * Frames straight from and to bytes: `mic.v1.Frame` and the messages around it. The stored bytes stay where they
 * are: an encoder gives parts, a decoder a view.
 */
import { bytesToHex } from "../base/bytes.ts";
import { OBJECT_ID_BYTES, type ObjectId } from "../base/ids.ts";
import { FRAME_RAW_BYTES_MAX } from "../base/limits.ts";
import type { FetchItem } from "../forge/forge.ts";
import type { Frame, FrameObject, ObjectKind, ObjectRef } from "../objects/frame.ts";
import { decodeChanges, encodeChanges } from "./entries.ts";
import { ProtoReader } from "./proto-reader.ts";
import { BYTES, ProtoWriter, varintLength } from "./proto-writer.ts";

/** One message, to be sent part after part. */
export type MessageParts = readonly Uint8Array[];

/** By their number on the wire. */
const KINDS: readonly (ObjectKind | undefined)[] = [
  undefined,
  "blob",
  "chunk-list",
  "node",
  "record",
  "operations",
];

const tagOf = (field: number, wireType: number): number => (field << 3) | wireType;
const COMPRESSED = tagOf(1, 0);
const RAW_LENGTH = tagOf(2, 0);
const IDS = tagOf(3, BYTES);
const STORED = tagOf(7, BYTES);
const FIELD_1 = tagOf(1, BYTES);
const FIELD_2 = tagOf(2, BYTES);
const FIELD_3 = tagOf(3, BYTES);
/** Beside `stored`, which is at most the raw length: ids and lengths of its objects. */
const OBJECT_BYTES_TYPICAL = OBJECT_ID_BYTES + 6;

export function partsLength(parts: MessageParts): number {
  let length = 0;
  for (const part of parts) length += part.length;
  return length;
}

/** A message that is one frame in `field`; the last part is the frame's stored bytes. */
export function encodeFrameMessage(field: number, frame: Frame): MessageParts {
  const head = encodeFrameHead(frame);
  const { stored } = frame;
  const storedHead = stored.length === 0 ? 0 : 1 + varintLength(stored.length);
  const prefix = new ProtoWriter(head.length + 16);
  prefix.tag(field, BYTES).varint(head.length + storedHead + stored.length);
  prefix.bytes(head);
  if (stored.length === 0) return [prefix.finish()];
  prefix.tag(7, BYTES).varint(stored.length);
  return [prefix.finish(), stored];
}

/** Everything but `stored`. */
function encodeFrameHead({ compressed, rawLength, objects }: Frame): Uint8Array {
  const writer = new ProtoWriter(32 + objects.length * OBJECT_BYTES_TYPICAL);
  if (compressed) writer.tag(1, 0).varint(1);
  writer.uint(2, rawLength);
  const count = objects.length;
  if (count === 0) return writer.finish();
  const ids = Buffer.allocUnsafe(count * OBJECT_ID_BYTES);
  for (let i = 0; i < count; i++) ids.write(objects[i]!.id, i * OBJECT_ID_BYTES, OBJECT_ID_BYTES, "hex");
  writer.tag(3, BYTES).varint(ids.length).bytes(ids);
  writer.tag(4, BYTES).varint(count);
  for (const object of objects) writer.varint(KINDS.indexOf(object.kind));
  packLengths(writer, 5, objects, (object) => object.length);
  if (objects.some((object) => object.sidecarLength > 0)) {
    packLengths(writer, 6, objects, (object) => object.sidecarLength);
  }
  return writer.finish();
}

function packLengths(
  writer: ProtoWriter,
  field: number,
  objects: readonly FrameObject[],
  lengthOf: (object: FrameObject) => number,
): void {
  let bytes = 0;
  for (const object of objects) bytes += varintLength(lengthOf(object));
  writer.tag(field, BYTES).varint(bytes);
  for (const object of objects) writer.varint(lengthOf(object));
}

/** `stored` is a view. Errors: `usage` for a frame whose parts do not fit together. */
export function readFrame(reader: ProtoReader): Frame {
  const end = reader.nested();
  let compressed = false;
  let rawLength = 0;
  let ids: Uint8Array = new Uint8Array(0);
  let stored: Uint8Array = new Uint8Array(0);
  const kinds: number[] = [];
  const lengths: number[] = [];
  const sidecars: number[] = [];
  while (reader.offset < end) {
    const tag = reader.varint();
    if (tag === COMPRESSED) compressed = reader.varint() !== 0;
    else if (tag === RAW_LENGTH) rawLength = reader.varint();
    else if (tag === IDS) ids = reader.bytes();
    else if (tag >>> 3 === 4) reader.integers(tag, kinds);
    else if (tag >>> 3 === 5) reader.integers(tag, lengths);
    else if (tag >>> 3 === 6) reader.integers(tag, sidecars);
    else if (tag === STORED) stored = reader.bytes();
    else reader.skip(tag);
  }
  reader.expectEnd(end);
  if (rawLength > FRAME_RAW_BYTES_MAX) throw reader.fail(`a frame of ${rawLength} raw bytes`);
  const isStoredRight = compressed ? stored.length < rawLength : stored.length === rawLength;
  if (!isStoredRight) throw reader.fail(`a frame of ${rawLength} bytes stored in ${stored.length}`);
  const count = ids.length / OBJECT_ID_BYTES;
  if (count === 0) throw reader.fail("a frame without objects");
  if (kinds.length !== count || lengths.length !== count) throw reader.fail("a frame with missing parts");
  if (sidecars.length !== 0 && sidecars.length !== count) throw reader.fail("a frame with missing parts");
  const objects: FrameObject[] = [];
  let offset = 0;
  for (let i = 0; i < count; i++) {
    const kind = KINDS[kinds[i]!];
    if (kind === undefined) throw reader.fail(`an object of unknown kind ${kinds[i]}`);
    const length = lengths[i]!;
    const sidecarLength = sidecars[i] ?? 0;
    const start = i * OBJECT_ID_BYTES;
    const id = bytesToHex(ids, start, start + OBJECT_ID_BYTES) as ObjectId;
    objects.push({ id, kind, offset, length, sidecarLength });
    offset += length + sidecarLength;
  }
  if (offset !== rawLength) throw reader.fail(`${offset} bytes of objects in a frame of ${rawLength}`);
  return { compressed, rawLength, stored, objects };
}

/** `FetchResponse`. */
export function encodeFetchItem(item: FetchItem): MessageParts {
  if (item.kind === "changes") return [encodeChanges(item.changes)];
  if (item.kind === "frame") return encodeFrameMessage(3, item.frame);
  const inner = new ProtoWriter(32).uint(1, item.objects).uint(2, item.bytes).finish();
  return [new ProtoWriter(64).tag(2, BYTES).varint(inner.length).bytes(inner).finish()];
}

/** A message that holds nothing that is known is an empty list of changes. */
export function decodeFetchItem(bytes: Uint8Array): FetchItem {
  if (bytes.length === 0 || bytes[0] === FIELD_1) return { kind: "changes", changes: decodeChanges(bytes) };
  const reader = new ProtoReader(bytes);
  let item: FetchItem | undefined;
  while (reader.offset < reader.length) {
    const tag = reader.varint();
    if (item !== undefined && (tag === FIELD_2 || tag === FIELD_3))
      throw reader.fail("two items in one message");
    if (tag === FIELD_3) item = { kind: "frame", frame: readFrame(reader) };
    else if (tag === FIELD_2) item = readContent(reader);
    else reader.skip(tag);
  }
  return item ?? { kind: "changes", changes: [] };
}

function readContent(reader: ProtoReader): FetchItem {
  const end = reader.nested();
  let objects = 0;
  let bytes = 0;
  while (reader.offset < end) {
    const tag = reader.varint();
    if (tag === tagOf(1, 0)) objects = reader.varint();
    else if (tag === tagOf(2, 0)) bytes = reader.varint();
    else reader.skip(tag);
  }
  reader.expectEnd(end);
  return { kind: "content", objects, bytes };
}

/** `ReadObjectsResponse`. */
export function encodeReadObjectsResponse(frame: Frame): MessageParts {
  return encodeFrameMessage(1, frame);
}

export function decodeReadObjectsResponse(bytes: Uint8Array): Frame {
  const reader = new ProtoReader(bytes);
  let frame: Frame | undefined;
  while (reader.offset < reader.length) {
    const tag = reader.varint();
    if (tag === FIELD_1) frame = readFrame(reader);
    else reader.skip(tag);
  }
  if (frame === undefined) throw reader.fail("a frame is missing");
  return frame;
}

/** `ReadObjectsRequest`. */
export function encodeReadObjectsRequest(project: string, wants: readonly ObjectRef[]): Uint8Array {
  const writer = new ProtoWriter(64 + wants.length * 44);
  writer.string(1, project);
  for (const { id, hint } of wants) {
    const hintLength = hint === 0 ? 0 : 1 + varintLength(hint);
    writer.tag(2, BYTES).varint(2 + OBJECT_ID_BYTES + hintLength);
    writer.hex(1, id).uint(2, hint);
  }
  return writer.finish();
}

export function decodeReadObjectsRequest(bytes: Uint8Array): {
  readonly project: string;
  readonly wants: readonly ObjectRef[];
} {
  const reader = new ProtoReader(bytes);
  let project = "";
  const wants: ObjectRef[] = [];
  while (reader.offset < reader.length) {
    const tag = reader.varint();
    if (tag === FIELD_1) project = reader.string();
    else if (tag === FIELD_2) wants.push(readObjectRef(reader));
    else reader.skip(tag);
  }
  return { project, wants };
}

function readObjectRef(reader: ProtoReader): ObjectRef {
  const end = reader.nested();
  let id: ObjectId | undefined;
  let hint = 0;
  while (reader.offset < end) {
    const tag = reader.varint();
    if (tag === FIELD_1) id = reader.hex(OBJECT_ID_BYTES, "an object id") as ObjectId;
    else if (tag === tagOf(2, 0)) hint = reader.varint();
    else reader.skip(tag);
  }
  reader.expectEnd(end);
  if (id === undefined) throw reader.fail("an object without an id");
  return { id, hint };
}
