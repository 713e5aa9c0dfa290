/** One HTTP request and its whole answer. What is above signs, repeats and follows; a transport does none of it. */

export interface TransportRequest {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** `https://host:port` */
  readonly origin: string;
  /** Path and query, encoded; begins with a slash. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Must stay as it is until the request has settled. */
  readonly body?: Uint8Array;
  /** To be delivered at most once: a conditional write. */
  readonly once: boolean;
  /** Until the answer begins, and again between its pieces. */
  readonly timeoutMs: number;
  /** A longer answer with a status below 300 fails; one with another status is cut at `ERROR_BYTES_MAX`. */
  readonly answerBytesMax: number;
  readonly signal?: AbortSignal;
}

export interface TransportAnswer {
  readonly status: number;
  /** `name` is lowercase. */
  header(name: string): string | undefined;
  /** Plain bytes of the caller's own. */
  readonly body: Uint8Array;
}

export interface Transport extends AsyncDisposable {
  /** Errors: only `TransportError`. */
  send(request: TransportRequest): Promise<TransportAnswer>;
}

/**
 * `connect`: no connection. `tls`: no trust in the other side. `timeout`, `reset`: no answer, or not all of it.
 * `too-large`: more than was asked for. `aborted`: the caller's signal.
 */
export type TransportFailure = "connect" | "tls" | "timeout" | "reset" | "too-large" | "aborted";

export class TransportError extends Error {
  readonly reason: TransportFailure;
  /** False only when it is certain that nothing of the request left this process. */
  readonly mayBeSent: boolean;
  /** Of the platform: `ECONNREFUSED`, … */
  readonly code: string | undefined;
  /** Bytes of the answer's body that came before it, as far as they were counted. */
  readonly received: number;

  constructor(
    reason: TransportFailure,
    mayBeSent: boolean,
    options: {
      readonly cause?: unknown;
      readonly code?: string;
      readonly message?: string;
      readonly received?: number;
    },
  ) {
    super(options.message ?? messageOf(options.cause) ?? reason, { cause: options.cause });
    this.name = "TransportError";
    this.reason = reason;
    this.mayBeSent = mayBeSent;
    this.code = options.code ?? codeOf(options.cause);
    this.received = options.received ?? 0;
  }
}

export const ERROR_BYTES_MAX: number = 64 << 10;
const NO_BODY = new Uint8Array(0);

/** Collects an answer's body without ever holding more than it may. */
export class AnswerBody {
  readonly #limit: number;
  readonly #isError: boolean;
  #bytes: Uint8Array;
  #length = 0;

  /** `declared`: the answer's Content-Length, where it has one. */
  constructor(status: number, declared: number | undefined, answerBytesMax: number) {
    this.#isError = status >= 300;
    this.#limit = this.#isError ? ERROR_BYTES_MAX : answerBytesMax;
    if (declared !== undefined && declared > this.#limit && !this.#isError) throw tooLarge(declared);
    this.#bytes = declared === undefined ? NO_BODY : new Uint8Array(Math.min(declared, this.#limit));
  }

  /** False: enough of an error is here, nothing more is wanted. */
  add(piece: Uint8Array): boolean {
    const length = this.#length + piece.length;
    if (length > this.#limit) {
      if (!this.#isError) throw tooLarge(length);
      this.#reserve(this.#limit);
      this.#bytes.set(piece.subarray(0, this.#limit - this.#length), this.#length);
      this.#length = this.#limit;
      return false;
    }
    this.#reserve(length);
    this.#bytes.set(piece, this.#length);
    this.#length = length;
    return true;
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  take(): Uint8Array {
    return this.#length === this.#bytes.length ? this.#bytes : this.#bytes.slice(0, this.#length);
  }

  #reserve(length: number): void {
    if (length <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.min(this.#limit, Math.max(length, this.#bytes.length * 2, 4096)));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

/** The Content-Length that tells how much is to come; none of an answer that has no body whatever it says. */
export function declaredLength(
  method: string,
  status: number,
  header: string | undefined,
): number | undefined {
  if (method === "HEAD" || status === 204 || status === 304) return 0;
  if (header === undefined || !/^\d{1,15}$/.test(header)) return undefined;
  return Number(header);
}

/** Below this a connection counts as dead. */
const SLOWEST_BYTES_PER_S = 128 << 10;

/** What a body of this many bytes may take. */
export function transferMs(bytes: number): number {
  return Math.ceil((bytes / SLOWEST_BYTES_PER_S) * 1000);
}

export function cutOff(bytes: number, declared: number): TransportError {
  return new TransportError("reset", true, {
    message: `${bytes} of ${declared} bytes came`,
    received: bytes,
  });
}

export function tooLarge(bytes: number): TransportError {
  return new TransportError("too-large", true, { message: `the answer has ${bytes} bytes or more` });
}

/** The platform's code of a failure, from it or from what caused it. */
export function codeOf(error: unknown): string | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth++) {
    const { code } = at as NodeJS.ErrnoException;
    if (typeof code === "string") return code;
  }
  return undefined;
}

function messageOf(error: unknown): string | undefined {
  return error instanceof Error && error.message !== "" ? error.message : undefined;
}

const NO_CONNECTION =
  /^(?:ECONNREFUSED|ENOTFOUND|EAI_\w+|ConnectionRefused|FailedToOpenSocket|UND_ERR_CONNECT_TIMEOUT)$/;
const NO_CERTIFICATE =
  /^(?:CERT_\w+|ERR_TLS_CERT_\w+|SELF_SIGNED_\w+|DEPTH_ZERO_\w+|UNABLE_TO_\w+|HOSTNAME_MISMATCH|UNKNOWN_CERTIFICATE\w*)$/;
const NO_TLS = /^(?:EPROTO|ERR_TLS_\w+|ERR_SSL_\w+)$/;

/**
 * What a failure of the platform was. `wasSent`: whether the request began to be written, where that is known;
 * elsewhere only failures that come before it for certain count as not sent.
 */
export function classifyFailure(error: unknown, wasSent: boolean | undefined, received = 0): TransportError {
  const code = codeOf(error) ?? "";
  if (NO_CONNECTION.test(code)) return new TransportError("connect", wasSent ?? false, { cause: error });
  if (NO_CERTIFICATE.test(code)) return new TransportError("tls", wasSent ?? false, { cause: error });
  if (NO_TLS.test(code)) return new TransportError("tls", wasSent ?? true, { cause: error });
  if (/^(?:EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL)$/.test(code)) {
    return new TransportError("connect", wasSent ?? true, { cause: error });
  }
  const isTimeout = /TIMEOUT|TIMEDOUT/.test(code);
  return new TransportError(isTimeout ? "timeout" : "reset", wasSent ?? true, { cause: error, received });
}
