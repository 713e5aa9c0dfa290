/** What a handler returns, and how it reaches the socket: with back-pressure, and without a body for HEAD. */
import type { ServerResponse } from "node:http";
import type { Method } from "./route.ts";

export type HeaderFields = Readonly<Record<string, string>>;

export type Answer =
  /** `text` is the whole body. */
  | { readonly kind: "text"; readonly status: number; readonly headers: HeaderFields; readonly text: string }
  | {
      readonly kind: "stream";
      readonly status: number;
      readonly headers: HeaderFields;
      /** Bytes of the whole body, where known. */
      readonly length?: number;
      readonly body: AsyncIterable<Uint8Array | string>;
    }
  | { readonly kind: "empty"; readonly status: number; readonly headers: HeaderFields }
  /** The handler writes the response itself, to its end. */
  | { readonly kind: "taken" };

export const JSON_TYPE = "application/json";
const JSON_HEADERS: HeaderFields = {
  "content-type": JSON_TYPE,
  "cache-control": "private, no-cache",
  "x-content-type-options": "nosniff",
};

export function jsonAnswer(status: number, value: unknown, headers?: HeaderFields): Answer {
  return {
    kind: "text",
    status,
    headers: headers === undefined ? JSON_HEADERS : { ...JSON_HEADERS, ...headers },
    text: JSON.stringify(value),
  };
}

/** A client that takes nothing for this long is dropped. */
const STALLED_MS = 120_000;

export interface SendOptions {
  readonly method: Method | "HEAD";
  /** Fires when the client is gone. */
  readonly signal: () => AbortSignal;
}

/**
 * Resolves when the body was handed over, or the client is gone. A body that fails half way cuts the connection,
 * so that nobody takes what arrived for the whole.
 */
export function sendAnswer(
  response: ServerResponse,
  answer: Answer,
  options: SendOptions,
): Promise<void> | undefined {
  switch (answer.kind) {
    case "taken":
      return undefined;
    case "text": {
      const headers = { ...answer.headers, "content-length": String(Buffer.byteLength(answer.text)) };
      response.writeHead(answer.status, headers);
      if (options.method === "HEAD") response.end();
      else response.end(answer.text);
      return undefined;
    }
    case "empty":
      response.writeHead(answer.status, answer.headers);
      response.end();
      return undefined;
    case "stream":
      return sendStream(response, answer, options);
  }
}

async function sendStream(
  response: ServerResponse,
  answer: Extract<Answer, { kind: "stream" }>,
  options: SendOptions,
): Promise<void> {
  const { status, headers, length, body } = answer;
  const all = length === undefined ? headers : { ...headers, "content-length": String(length) };
  if (options.method === "HEAD") {
    response.writeHead(status, all);
    response.end();
    return;
  }
  const signal = options.signal();
  // The first piece is read before the head is sent: most failures still get a proper answer.
  const pieces = body[Symbol.asyncIterator]();
  try {
    let next = await pieces.next();
    response.writeHead(status, all);
    for (; next.done !== true; next = await pieces.next()) {
      if (signal.aborted) return;
      if (!response.write(next.value)) await drained(response, signal);
    }
    if (!signal.aborted) response.end();
  } finally {
    await pieces.return?.();
  }
}

/** Resolves when what was written has left, or the client is gone. */
export function drained(
  response: ServerResponse,
  signal: AbortSignal,
  stalledMs = STALLED_MS,
): Promise<void> {
  if (signal.aborted || !response.writableNeedDrain) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => response.destroy(), stalledMs);
    const done = (): void => {
      clearTimeout(timer);
      response.off("drain", done);
      response.off("close", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    response.once("drain", done);
    response.once("close", done);
    signal.addEventListener("abort", done, { once: true });
  });
}
