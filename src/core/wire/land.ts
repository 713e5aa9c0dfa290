/**
 * The two calls that stream operations and content to the server: `Land` and `ImportLandings`. The first message
 * holds the small fields, those that follow a batch of operations (or one landing) or one frame each.
 */
import { hexToBytes } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import type { LandingId } from "../base/ids.ts";
import { INLINE_CONTENT_BYTES_MAX, LANDING_OPERATIONS_MAX } from "../base/limits.ts";
import type { ImportLandings, Landing, LandRequest, Operation } from "../forge/forge.ts";
import type { Frame } from "../objects/frame.ts";
import {
  conversationFromWire,
  decodeMessage,
  encodeMessage,
  ID_BYTES,
  idToWire,
  optionalId,
  positionRefFromWire,
  positionRefToWire,
} from "./common.ts";
import { readOperation, writeOperation } from "./entries.ts";
import { encodeFrameMessage, type MessageParts, readFrame } from "./frames.ts";
import { ImportLandingsRequest } from "./gen/mic/v1/projects.ts";
import { LandRequest as WireLandRequest } from "./gen/mic/v1/sessions.ts";
import { landingFromWire, landingToWire } from "./history.ts";
import { ProtoReader } from "./proto-reader.ts";
import { BYTES, ProtoWriter } from "./proto-writer.ts";
import { packsFromWire, sessionIdFromWire } from "./sessions.ts";

/** Operations per message. */
const BATCH = 4096;
const OPERATION_BYTES_TYPICAL = 96;
/** Everything but content, of one call. */
const REQUEST_BYTES_MAX = 1 << 30;
/** Frames may hold a little more than they are counted for. */
const CONTENT_BYTES_MAX = INLINE_CONTENT_BYTES_MAX + (1 << 20);

const OPERATIONS_TAG = (11 << 3) | BYTES;
const LAND_FRAMES_TAG = (12 << 3) | BYTES;
const LANDINGS_TAG = (4 << 3) | BYTES;
const IMPORT_FRAMES_TAG = (5 << 3) | BYTES;

/** The messages of a `Land` call. A few operations travel in the first. */
export function* encodeLandRequest(project: string, request: LandRequest): Generator<MessageParts> {
  const head = encodeMessage(WireLandRequest, {
    project,
    landingId: hexToBytes(request.landingId),
    base: positionRefToWire(request.base),
    goal: request.goal,
    author: request.author,
    agent: request.agent,
    session: idToWire(request.session),
    decisions: request.decisions,
    conversation: request.conversation,
    packs: request.packs.map(hexToBytes),
    operations: [],
    frames: [],
  });
  const { operations } = request;
  for (let start = 0; start === 0 || start < operations.length; start += BATCH) {
    const batch = operations.slice(start, start + BATCH);
    const writer = new ProtoWriter(batch.length * OPERATION_BYTES_TYPICAL);
    for (const operation of batch) writeOperation(writer, 11, operation);
    yield start === 0 ? [head, writer.finish()] : [writer.finish()];
  }
  for (const frame of request.frames) yield encodeFrameMessage(12, frame);
}

/** Counts what a streamed request holds, so that it is refused before it fills the memory. */
class StreamBudget {
  readonly #countMax: number;
  #requestBytes = 0;
  #contentBytes = 0;
  #operations = 0;
  #objects = 0;

  /** `countMax`: operations, and objects in frames. Each is a few bytes there and a few hundred here. */
  constructor(countMax: number = LANDING_OPERATIONS_MAX) {
    this.#countMax = countMax;
  }

  /** Errors: `too-large`, before more of them are kept. */
  counts(operations: number, objects: number): void {
    this.#operations += operations;
    this.#objects += objects;
    const count = Math.max(this.#operations, this.#objects);
    if (count > this.#countMax) {
      throw new MicError("too-large", `more than ${this.#countMax} operations or objects in one call`);
    }
  }

  message(bytes: number, frameBytes: number): void {
    this.#requestBytes += bytes - frameBytes;
    this.#contentBytes += frameBytes;
    if (this.#contentBytes > CONTENT_BYTES_MAX) {
      throw new MicError("too-large", `more than ${INLINE_CONTENT_BYTES_MAX} bytes of content in one call`, {
        hint: "upload it as packs first",
      });
    }
    if (this.#requestBytes > REQUEST_BYTES_MAX) throw new MicError("too-large", "a request above 1 GiB");
  }
}

/** Puts the messages of a `Land` call together, on the server. */
export class LandRequestReader {
  readonly #operations: Operation[] = [];
  readonly #frames: Frame[] = [];
  readonly #budget: StreamBudget;
  #head: WireLandRequest | undefined;

  constructor(countMax?: number) {
    this.#budget = new StreamBudget(countMax);
  }

  /** The project that the first message names; undefined before it. */
  get project(): string | undefined {
    return this.#head?.project;
  }

  /** `bytes` is kept: frames are views of it. Errors: `usage`, `unsafe-path`, `too-large`. */
  add(bytes: Uint8Array): void {
    const reader = new ProtoReader(bytes);
    // The first message is read by the generated code, without its operations and frames.
    const small = this.#head === undefined ? new ProtoWriter(1024) : undefined;
    let frameBytes = 0;
    while (reader.offset < reader.length) {
      const start = reader.offset;
      const tag = reader.varint();
      if (tag === OPERATIONS_TAG) {
        this.#budget.counts(1, 0);
        this.#operations.push(readOperation(reader));
      } else if (tag === LAND_FRAMES_TAG) {
        const frame = readFrame(reader);
        this.#budget.counts(0, frame.objects.length);
        frameBytes += frame.stored.length;
        this.#frames.push(frame);
      } else {
        reader.skip(tag);
        small?.bytes(bytes.subarray(start, reader.offset));
      }
    }
    this.#budget.message(bytes.length, frameBytes);
    if (small !== undefined) this.#head = decodeMessage(WireLandRequest, small.finish());
  }

  /** `defaults` for a caller that gave no landing id or author. */
  finish(defaults: { readonly mintLandingId: () => LandingId; readonly author: string }): LandRequest {
    const head = this.#head;
    if (head === undefined) throw new MicError("usage", "a land call without a message");
    return {
      landingId: optionalId<LandingId>(head.landingId, ID_BYTES, "a landing id") ?? defaults.mintLandingId(),
      base: positionRefFromWire(head.base, "the base"),
      goal: head.goal,
      author: head.author === "" ? defaults.author : head.author,
      agent: head.agent,
      operations: this.#operations,
      ...(head.session.length === 0 ? {} : { session: sessionIdFromWire(head.session) }),
      decisions: head.decisions,
      conversation: conversationFromWire(head.conversation),
      packs: packsFromWire(head.packs),
      frames: this.#frames,
    };
  }
}

/** The messages of an `ImportLandings` call. */
export function* encodeImportLandings(project: string, request: ImportLandings): Generator<MessageParts> {
  yield [
    encodeMessage(ImportLandingsRequest, {
      project,
      after: positionRefToWire(request.after),
      packs: request.packs.map(hexToBytes),
      allowSecrets: request.allowSecrets === true,
      landings: [],
      frames: [],
    }),
  ];
  for (const landing of request.landings) {
    const message = {
      project: "",
      after: undefined,
      packs: [],
      allowSecrets: false,
      landings: [landingToWire(landing)],
      frames: [],
    };
    yield [encodeMessage(ImportLandingsRequest, message)];
  }
  for (const frame of request.frames) yield encodeFrameMessage(5, frame);
}

/** Puts the messages of an `ImportLandings` call together, on the server. */
export class ImportLandingsReader {
  readonly #landings: Landing[] = [];
  readonly #frames: Frame[] = [];
  readonly #budget = new StreamBudget();
  #head: ImportLandingsRequest | undefined;

  get project(): string | undefined {
    return this.#head?.project;
  }

  /** As `LandRequestReader.add`. */
  add(bytes: Uint8Array): void {
    const reader = new ProtoReader(bytes);
    const rest = new ProtoWriter(bytes.length > 1 << 16 ? 1 << 16 : bytes.length);
    let frameBytes = 0;
    while (reader.offset < reader.length) {
      const start = reader.offset;
      const tag = reader.varint();
      if (tag === IMPORT_FRAMES_TAG) {
        const frame = readFrame(reader);
        this.#budget.counts(0, frame.objects.length);
        frameBytes += frame.stored.length;
        this.#frames.push(frame);
      } else {
        reader.skip(tag);
        if (this.#head === undefined || tag === LANDINGS_TAG)
          rest.bytes(bytes.subarray(start, reader.offset));
      }
    }
    this.#budget.message(bytes.length, frameBytes);
    const message = decodeMessage(ImportLandingsRequest, rest.finish());
    for (const landing of message.landings) {
      this.#budget.counts(landing.operations.length, 0);
      this.#landings.push(landingFromWire(landing));
    }
    this.#head ??= { ...message, landings: [] };
  }

  finish(): ImportLandings {
    const head = this.#head;
    if (head === undefined) throw new MicError("usage", "an import without a message");
    return {
      after: positionRefFromWire(head.after, "the position to import after"),
      landings: this.#landings,
      packs: packsFromWire(head.packs),
      frames: this.#frames,
      ...(head.allowSecrets ? { allowSecrets: true } : {}),
    };
  }
}
