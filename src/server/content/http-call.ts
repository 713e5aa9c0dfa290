/** One call over HTTP/1.1: its body, its answer, and what ends it early. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { CONTENT_TYPE } from "../../core/wire/framing.ts";
import { interrupted } from "../methods/failure.ts";
import { parseTimeout } from "./deadline.ts";

/** Of the body, before its reader comes for more. */
const QUEUED_BYTES_MAX = 256 << 10;
/** Messages of one turn of the loop leave together, in blocks that grow up to this. */
const BLOCK_BYTES_MAX = 256 << 10;
const BLOCK_BYTES_MIN = 16 << 10;
const HEADERS: OutgoingHttpHeaders = { "content-type": CONTENT_TYPE, "cache-control": "no-store" };

export class HttpCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly #over = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #resume: (() => void) | undefined;
  #hasSent = false;
  /** Filled up to `#blockLength`, not written yet. */
  #block: Buffer | undefined;
  #blockLength = 0;
  #blockBytes = BLOCK_BYTES_MIN;
  /** A block that has been written and may be filled again. */
  #freeBlock: Buffer | undefined;
  #willFlush = false;
  isExpired = false;
  /** Why the server itself ended the call. */
  abortedWith: unknown;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.request = request;
    this.response = response;
    response.once("close", this.#onClose);
    response.on("drain", this.#onDrain);
  }

  /** Fires when the caller is gone or out of time. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  readonly #onClose = (): void => {
    if (!this.response.writableFinished) this.#over.abort();
    this.#resume?.();
  };

  /** Ends it early; the caller is told `reason`. */
  abort(reason: unknown): void {
    this.abortedWith = reason;
    this.#over.abort(reason);
    this.#resume?.();
  }

  readonly #onDrain = (): void => this.#resume?.();

  /** Errors: `usage` for a deadline that cannot be read. */
  startDeadline(): void {
    const timeoutMs = parseTimeout(this.request.headers["grpc-timeout"]);
    if (timeoutMs === undefined) return;
    this.#timer = setTimeout(() => {
      this.isExpired = true;
      this.#over.abort();
      this.#resume?.();
    }, timeoutMs);
  }

  /** The body. Errors: `aborted` when the caller is gone or out of time. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    const { request, signal } = this;
    let queue: Uint8Array[] = [];
    let queuedBytes = 0;
    let isOver = false;
    let wake: () => void = () => undefined;
    const onData = (chunk: Uint8Array): void => {
      queue.push(chunk);
      queuedBytes += chunk.length;
      if (queuedBytes >= QUEUED_BYTES_MAX) request.pause();
      wake();
    };
    const onOver = (): void => {
      isOver = true;
      wake();
    };
    const wakeUp = (): void => wake();
    signal.addEventListener("abort", wakeUp, { once: true });
    for (const event of ["end", "error", "close"]) request.on(event, onOver);
    request.on("data", onData);
    try {
      for (;;) {
        const chunks = queue;
        queue = [];
        queuedBytes = 0;
        for (const chunk of chunks) {
          if (signal.aborted) throw interrupted();
          yield chunk;
        }
        if (queue.length > 0) continue;
        if (signal.aborted) throw interrupted();
        if (isOver) break;
        if (request.isPaused()) request.resume();
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      request.off("data", onData);
      for (const event of ["end", "close"]) request.off(event, onOver);
      signal.removeEventListener("abort", wakeUp);
    }
    // A body that was cut off ends like a whole one.
    if (!request.complete) throw interrupted();
  }

  /** Of a stream: its head goes out with the first message, or alone where that takes time. */
  begin(): void {
    const { response } = this;
    response.writeHead(200, HEADERS);
    setImmediate(() => {
      if (!this.#hasSent && !response.destroyed && !response.writableEnded) response.flushHeaders();
    });
  }

  /** Copies the parts. Waits where the reader is slow. */
  async send(parts: readonly Uint8Array[]): Promise<void> {
    const { response } = this;
    this.#hasSent = true;
    for (const part of parts) this.#put(part);
    if (!this.#willFlush) {
      this.#willFlush = true;
      setImmediate(this.#onTurnEnd);
    }
    while (response.writableNeedDrain) {
      if (this.signal.aborted) throw interrupted();
      await new Promise<void>((resolve) => {
        this.#resume = resolve;
      });
    }
    if (this.signal.aborted) throw interrupted();
  }

  /** A write, and the reader's wake-up, cost more than a copy of a block. */
  #put(part: Uint8Array): void {
    for (let done = 0; done < part.length; ) {
      this.#block ??= this.#newBlock();
      const count = Math.min(part.length - done, this.#block.length - this.#blockLength);
      this.#block.set(count === part.length ? part : part.subarray(done, done + count), this.#blockLength);
      this.#blockLength += count;
      done += count;
      if (this.#blockLength === this.#block.length) {
        this.#blockBytes = Math.min(BLOCK_BYTES_MAX, this.#blockBytes * 4);
        this.#flush();
      }
    }
  }

  #newBlock(): Buffer {
    const free = this.#freeBlock;
    this.#freeBlock = undefined;
    return free ?? Buffer.allocUnsafeSlow(this.#blockBytes);
  }

  readonly #onTurnEnd = (): void => {
    this.#willFlush = false;
    if (this.#blockLength === 0) return;
    this.#flush();
    // A stream that waits for news holds little while it does.
    this.#blockBytes = BLOCK_BYTES_MIN;
    this.#freeBlock = undefined;
  };

  #flush(): void {
    const { response } = this;
    const block = this.#block;
    if (block === undefined) return;
    const filled = block.subarray(0, this.#blockLength);
    this.#block = undefined;
    this.#blockLength = 0;
    if (response.destroyed || response.writableEnded) return;
    response.write(filled, () => {
      if (block.length === this.#blockBytes) this.#freeBlock = block;
    });
  }

  /** The whole answer at once. */
  endWith(parts: readonly Uint8Array[], trailers: Uint8Array): void {
    const body = Buffer.concat([...parts, trailers]);
    if (this.signal.aborted) throw interrupted();
    this.response.writeHead(200, { ...HEADERS, "content-length": body.length });
    this.response.end(body);
  }

  end(trailers: Uint8Array): void {
    const { response } = this;
    if (response.destroyed || response.writableEnded) return;
    if (response.headersSent) {
      this.#put(trailers);
      this.#flush();
      response.end();
      return;
    }
    response.writeHead(200, { ...HEADERS, "content-length": trailers.length, ...this.#closing() });
    response.end(trailers);
  }

  /** A call that is no call of a method. */
  refuse(status: number, headers: OutgoingHttpHeaders): void {
    this.response.writeHead(status, { ...headers, "content-length": 0, ...this.#closing() });
    this.response.end();
  }

  /** What is left of the body is not read: the next call comes over another connection. */
  #closing(): OutgoingHttpHeaders {
    return this.request.complete ? {} : { connection: "close" };
  }

  /** After the answer. */
  finish(): void {
    clearTimeout(this.#timer);
    const { request, response } = this;
    response.off("close", this.#onClose);
    response.off("drain", this.#onDrain);
    // A body that nobody read would otherwise be taken for the next call.
    if (!request.complete && !response.destroyed) request.resume();
  }
}
