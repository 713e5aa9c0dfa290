/** Whole HTTP/1.1 messages from a socket, byte for byte as they came: for proxies that pass them on, or do not. */
import type { Socket } from "node:net";

export interface HttpMessage {
  /** `PUT /bucket/key HTTP/1.1`, or the status line of an answer. */
  readonly startLine: string;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  /** Head and body, as they came. */
  readonly raw: Buffer;
  readonly headLength: number;
  /** The sender closes the connection after it. */
  readonly isLast: boolean;
}

type BodyRule = "none" | "request" | "answer";

export class HttpReader {
  readonly #socket: Socket;
  #buffered: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => {
      this.#buffered = this.#buffered.length === 0 ? bytes : Buffer.concat([this.#buffered, bytes]);
      this.#wake();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake();
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.on("error", end);
  }

  /** `undefined` when the connection ended between messages, or within one. */
  request(): Promise<HttpMessage | undefined> {
    return this.#next("request");
  }

  /** `method` is the request's: an answer to HEAD has no body. */
  answer(method: string): Promise<HttpMessage | undefined> {
    return this.#next(method === "HEAD" ? "none" : "answer");
  }

  async #next(rule: BodyRule): Promise<HttpMessage | undefined> {
    const headEnd = await this.#until(() => {
      const at = this.#buffered.indexOf("\r\n\r\n");
      return at === -1 ? undefined : at + 4;
    });
    if (headEnd === undefined) return undefined;
    const lines = this.#buffered.toString("latin1", 0, headEnd - 4).split("\r\n");
    const startLine = lines.shift()!;
    const headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
      }),
    );
    const end = await this.#end(rule, startLine, headers, headEnd);
    if (end === undefined) return undefined;
    const raw = this.#buffered.subarray(0, end);
    this.#buffered = this.#buffered.subarray(end);
    const isLast = headers.get("connection")?.toLowerCase() === "close";
    return { startLine, headers, raw, headLength: headEnd, isLast };
  }

  /** Where the body ends. */
  async #end(
    rule: BodyRule,
    startLine: string,
    headers: ReadonlyMap<string, string>,
    start: number,
  ): Promise<number | undefined> {
    const hasNoBody = rule === "none" || (rule === "answer" && /^HTTP\/1.1 (?:1..|204|304)/.test(startLine));
    if (hasNoBody) return start;
    if (/chunked/i.test(headers.get("transfer-encoding") ?? "")) return this.#endOfChunks(start);
    const length = headers.get("content-length");
    if (length !== undefined) return this.#atLeast(start + Number(length));
    if (rule === "request") return start;
    await this.#until(() => undefined);
    return this.#buffered.length;
  }

  async #endOfChunks(start: number): Promise<number | undefined> {
    let at = start;
    for (;;) {
      const from = at;
      const lineEnd = await this.#until(() => {
        const found = this.#buffered.indexOf("\r\n", from);
        return found === -1 ? undefined : found + 2;
      });
      if (lineEnd === undefined) return undefined;
      const size = Number.parseInt(this.#buffered.toString("latin1", at, lineEnd - 2), 16);
      // A last chunk of size 0, and no trailers.
      const end = await this.#atLeast(lineEnd + size + 2);
      if (end === undefined || size === 0) return end;
      at = end;
    }
  }

  #atLeast(length: number): Promise<number | undefined> {
    return this.#until(() => (this.#buffered.length >= length ? length : undefined));
  }

  async #until(find: () => number | undefined): Promise<number | undefined> {
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      if (this.#ended || this.#socket.destroyed) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
