/**
 * Sends spans to a collector in batches, beside everything else: what does not fit into the queue is dropped and
 * counted, and a collector that is away costs nobody anything.
 */
import { type ClientRequest, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { gzipSync } from "node:zlib";
import type { Clock } from "../../core/base/clock.ts";
import { isMicError } from "../../core/base/errors.ts";
import { jitterMs, type Random } from "../../core/base/random.ts";
import type { ServerLog } from "../context.ts";
import { encodeSpans } from "./otlp.ts";
import type { TraceSettings } from "./trace-settings.ts";
import type { EndedSpan } from "./tracer.ts";

const ATTEMPTS_MAX = 4;
const RETRY_BASE_MS = 1_000;
const RETRY_CAP_MS = 10_000;
/** For what is left when the server stops. */
const LAST_MS = 2_000;
const ANSWER_BYTES_MAX = 64 << 10;
/** Between two lines in the log about the same trouble. */
const QUIET_MS = 60_000;

export type SpanResult = "exported" | "dropped" | "failed";

export interface SpanExporterOptions {
  readonly settings: TraceSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ServerLog;
  /** mic's. */
  readonly version: string;
  readonly onResult: (result: SpanResult, spans: number) => void;
}

export class SpanExporter implements AsyncDisposable {
  readonly #options: SpanExporterOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #queue: EndedSpan[] = [];
  #wake: AbortController | undefined;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: SpanExporterOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  add(span: EndedSpan): void {
    const { settings, onResult } = this.#options;
    if (this.#queue.length >= settings.queueMax) {
      onResult("dropped", 1);
      return;
    }
    this.#queue.push(span);
    if (this.#queue.length >= settings.batchMax) this.#wake?.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    const late = AbortSignal.timeout(LAST_MS);
    while (this.#queue.length > 0 && !late.aborted) {
      const batch = this.#take();
      this.#options.onResult(
        (await this.#post(batch, late)) === "taken" ? "exported" : "failed",
        batch.length,
      );
    }
  }

  #take(): readonly EndedSpan[] {
    const { batchMax } = this.#options.settings;
    const batch = this.#queue.slice(0, batchMax);
    this.#queue = this.#queue.slice(batchMax);
    return batch;
  }

  async #run(): Promise<void> {
    const { settings } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      if (this.#queue.length < settings.batchMax) await this.#wait(settings.delayMs);
      if (signal.aborted || this.#queue.length === 0) continue;
      await this.#send(this.#take());
    }
  }

  async #send(batch: readonly EndedSpan[]): Promise<void> {
    const { random, onResult } = this.#options;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const outcome = await this.#post(batch, this.#stop.signal);
      if (outcome !== "again") {
        onResult(outcome === "taken" ? "exported" : "failed", batch.length);
        return;
      }
      if (this.#stop.signal.aborted) {
        // What is left goes with the rest.
        this.#queue = [...batch, ...this.#queue];
        return;
      }
      await this.#wait(jitterMs(random, attempt, RETRY_BASE_MS, RETRY_CAP_MS), false);
    }
    onResult("failed", batch.length);
  }

  async #post(batch: readonly EndedSpan[], signal: AbortSignal): Promise<"taken" | "again" | "refused"> {
    const { settings, version } = this.#options;
    const text = encodeSpans(
      { resource: { ...settings.resource, "service.version": version }, version },
      batch,
    );
    const body = settings.isGzipped ? gzipSync(text) : Buffer.from(text);
    try {
      const status = await post(
        settings,
        body,
        AbortSignal.any([signal, AbortSignal.timeout(settings.timeoutMs)]),
      );
      if (status >= 200 && status < 300) return "taken";
      this.#report(`the collector answered ${status}`);
      return [429, 502, 503, 504].includes(status) ? "again" : "refused";
    } catch (error) {
      if (!this.#stop.signal.aborted)
        this.#report((error as NodeJS.ErrnoException).code ?? "no answer in time");
      return "again";
    }
  }

  /** Without the address, which may hold a key. */
  #report(problem: string): void {
    const { clock, log } = this.#options;
    const nowMs = clock.nowMs();
    if (Math.abs(nowMs - this.#toldAtMs) < QUIET_MS) return;
    this.#toldAtMs = nowMs;
    log.warn("traces", { problem });
  }

  async #wait(delayMs: number, isWoken = true): Promise<void> {
    const wake = new AbortController();
    if (isWoken) this.#wake = wake;
    try {
      await this.#options.clock.sleep(delayMs, AbortSignal.any([wake.signal, this.#stop.signal]));
    } catch (error) {
      if (!isMicError(error, "aborted")) throw error;
    } finally {
      this.#wake = undefined;
    }
  }
}

function post(settings: TraceSettings, body: Buffer, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const send = settings.endpoint.startsWith("https:") ? httpsRequest : httpRequest;
    const request: ClientRequest = send(
      settings.endpoint,
      {
        method: "POST",
        signal,
        headers: {
          ...settings.headers,
          "content-type": "application/json",
          "content-length": body.length,
          ...(settings.isGzipped ? { "content-encoding": "gzip" } : {}),
        },
      },
      (response) => {
        let bytes = 0;
        response.on("data", (part: Buffer) => {
          bytes += part.length;
          if (bytes > ANSWER_BYTES_MAX) request.destroy();
        });
        response.once("end", () => resolve(response.statusCode ?? 0));
        response.once("error", reject);
      },
    );
    request.once("error", reject);
    request.end(body);
  });
}
