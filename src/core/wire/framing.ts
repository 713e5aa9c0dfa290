/**
 * Length-prefixed messages, as gRPC and gRPC-Web frame them. They carry content over HTTP/1.1 in both directions;
 * an answer ends with a message of trailers.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 1 | u8 | 0 message, 0x80 trailers; bit 0 would say compressed and is refused |
 * | 1 | 4 | u32 BE | length |
 * | 5 | length | bytes | a message, or `name: value` lines ended by CR LF |
 */
import { asBuffer, EMPTY_BYTES } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import { GRPC, type WireStatus } from "./status.ts";

export const CONTENT_TYPE = "application/grpc-web+proto";
export const MESSAGE_HEADER_BYTES = 5;
/** Every message but an answer with a whole landing or session stays below this: a frame has up to 8 MiB. */
export const MESSAGE_BYTES_MAX = 16 << 20;
/** An answer with a whole landing or session. */
export const LONG_MESSAGE_BYTES_MAX = 512 << 20;

const FLAG_COMPRESSED = 0x01;
const FLAG_TRAILERS = 0x80;
/** Never allocated on the word of a header alone. */
const ALLOCATION_BYTES_MAX = 1 << 20;

/** The header of a message of `length` bytes. */
export function messageHeader(length: number, trailers = false): Uint8Array {
  const header = new Uint8Array(MESSAGE_HEADER_BYTES);
  writeMessageHeader(header, 0, length, trailers);
  return header;
}

/** For encoders that leave MESSAGE_HEADER_BYTES free in front of the message. */
export function writeMessageHeader(
  target: Uint8Array,
  offset: number,
  length: number,
  trailers = false,
): void {
  target[offset] = trailers ? FLAG_TRAILERS : 0;
  target[offset + 1] = length >>> 24;
  target[offset + 2] = length >>> 16;
  target[offset + 3] = length >>> 8;
  target[offset + 4] = length;
}

export interface FramedMessage {
  readonly trailers: boolean;
  /** A view of the chunk that held it, or a copy. */
  readonly bytes: Uint8Array;
}

/** Cuts messages out of a stream of chunks of any size. */
export class MessageSplitter {
  readonly #bytesMax: number;
  readonly #reuses: boolean;
  /** What the message before the last was collected in. */
  #spare: Uint8Array = EMPTY_BYTES;
  readonly #header = new Uint8Array(MESSAGE_HEADER_BYTES);
  #headerLength = 0;
  /** Of the message that is being collected. */
  #flags = 0;
  #length = 0;
  #collected: Uint8Array = EMPTY_BYTES;
  #collectedLength = 0;

  /** `reuses`: a message is valid until the next `push`, and large ones are collected in the same memory. */
  constructor(bytesMax: number = MESSAGE_BYTES_MAX, reuses = false) {
    this.#bytesMax = bytesMax;
    this.#reuses = reuses;
  }

  /** True between two messages: a stream that ends elsewhere is truncated. */
  get isBetween(): boolean {
    return this.#headerLength === 0;
  }

  /** The messages that `chunk` completes. Errors: `too-large`, `unsupported`. */
  push(chunk: Uint8Array): FramedMessage[] {
    const messages: FramedMessage[] = [];
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#headerLength < MESSAGE_HEADER_BYTES) {
        offset = this.#takeHeader(chunk, offset);
        if (this.#headerLength < MESSAGE_HEADER_BYTES) break;
      }
      const missing = this.#length - this.#collectedLength;
      const available = Math.min(missing, chunk.length - offset);
      if (this.#collectedLength === 0 && available === missing) {
        messages.push(this.#finish(chunk.subarray(offset, offset + missing)));
      } else {
        this.#collect(chunk, offset, available);
        if (this.#collectedLength === this.#length) {
          messages.push(this.#finish(this.#collected.subarray(0, this.#length)));
        }
      }
      offset += available;
    }
    return messages;
  }

  #takeHeader(chunk: Uint8Array, start: number): number {
    let offset = start;
    const header = this.#header;
    while (this.#headerLength < MESSAGE_HEADER_BYTES && offset < chunk.length) {
      header[this.#headerLength++] = chunk[offset++]!;
    }
    if (this.#headerLength < MESSAGE_HEADER_BYTES) return offset;
    this.#flags = header[0]!;
    this.#length = ((header[1]! << 24) | (header[2]! << 16) | (header[3]! << 8) | header[4]!) >>> 0;
    if ((this.#flags & FLAG_COMPRESSED) !== 0)
      throw new MicError("unsupported", "a compressed message; messages are sent as they are");
    if ((this.#flags & ~FLAG_TRAILERS) !== 0)
      throw new MicError("usage", `a message with unknown flags ${this.#flags}`);
    if (this.#length > this.#bytesMax) {
      throw new MicError("too-large", `a message of ${this.#length} bytes; the limit is ${this.#bytesMax}`);
    }
    return offset;
  }

  #collect(chunk: Uint8Array, offset: number, count: number): void {
    const needed = this.#collectedLength + count;
    if (needed > this.#collected.length) {
      const wanted = Math.max(needed, ALLOCATION_BYTES_MAX, 2 * this.#collected.length);
      const grown = Buffer.allocUnsafeSlow(this.#reuses ? wanted : Math.min(this.#length, wanted));
      grown.set(this.#collected.subarray(0, this.#collectedLength));
      this.#collected = grown;
    }
    this.#collected.set(
      offset === 0 && count === chunk.length ? chunk : chunk.subarray(offset, offset + count),
      this.#collectedLength,
    );
    this.#collectedLength = needed;
  }

  #finish(bytes: Uint8Array): FramedMessage {
    const trailers = this.#flags === FLAG_TRAILERS;
    this.#headerLength = 0;
    if (this.#reuses) {
      // The message that this push completes may stand in one of them: the next is collected in the other.
      if (this.#collectedLength > 0) [this.#collected, this.#spare] = [this.#spare, this.#collected];
    } else this.#collected = EMPTY_BYTES;
    this.#collectedLength = 0;
    return { trailers, bytes };
  }
}

/** The messages of a request body. Errors: `usage` for a body that ends within one, and those of the splitter. */
export async function* readMessages(
  chunks: AsyncIterable<Uint8Array>,
  bytesMax: number = MESSAGE_BYTES_MAX,
): AsyncGenerator<Uint8Array> {
  const splitter = new MessageSplitter(bytesMax);
  for await (const chunk of chunks) {
    for (const message of splitter.push(chunk)) {
      if (message.trailers) throw new MicError("usage", "a request with trailers");
      yield message.bytes;
    }
  }
  if (!splitter.isBetween) throw new MicError("usage", "the body ends within a message");
}

/** The last message of an answer, with its header. */
export function encodeTrailers(status: WireStatus = { code: GRPC.OK, message: "" }): Uint8Array {
  let text = `grpc-status: ${status.code}\r\n`;
  if (status.message !== "") text += `grpc-message: ${encodeURIComponent(status.message.toWellFormed())}\r\n`;
  if (status.details !== undefined && status.details.length > 0) {
    text += `grpc-status-details-bin: ${asBuffer(status.details).toString("base64")}\r\n`;
  }
  const length = Buffer.byteLength(text);
  const message = Buffer.allocUnsafe(MESSAGE_HEADER_BYTES + length);
  writeMessageHeader(message, 0, length, true);
  message.write(text, MESSAGE_HEADER_BYTES);
  return message;
}

/** Errors: `usage` for trailers without a status. */
export function decodeTrailers(bytes: Uint8Array): WireStatus {
  const fields = new Map<string, string>();
  for (const line of asBuffer(bytes).toString("latin1").split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return statusFromFields((name) => fields.get(name));
}

/** From the trailers, or from the headers of an answer that has no body. */
export function statusFromFields(field: (name: string) => string | undefined): WireStatus {
  const code = field("grpc-status");
  if (code === undefined || !/^\d{1,3}$/.test(code))
    throw new MicError("usage", "an answer without a gRPC status");
  const details = field("grpc-status-details-bin");
  return {
    code: Number(code),
    message: decodePercent(field("grpc-message") ?? ""),
    details: details === undefined ? undefined : Buffer.from(details, "base64"),
  };
}

function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return text;
    throw error;
  }
}
