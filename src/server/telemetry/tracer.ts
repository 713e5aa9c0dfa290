/**
 * Spans of OpenTelemetry's model, as much of it as the server needs: one for each call, and children for what it asks
 * the store and others. A trace that is not sampled costs ids and nothing else.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { bytesToHex } from "../../core/base/bytes.ts";
import type { Clock } from "../../core/base/clock.ts";
import type { Random } from "../../core/base/random.ts";
import { parseTraceParent, type SpanContext, traceHeaders } from "./trace-context.ts";
import type { Sampler } from "./trace-settings.ts";

export type SpanKind = "internal" | "server" | "client";
export type AttributeValue = string | number | boolean;

/** What is exported. Times in Unix milliseconds. */
export interface EndedSpan {
  readonly context: SpanContext;
  readonly parentId: string | undefined;
  readonly name: string;
  readonly kind: SpanKind;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  /** Why it failed; undefined: it did not. */
  readonly failure: string | undefined;
}

export interface TracerOptions {
  readonly sampler: Sampler;
  readonly clock: Clock;
  readonly random: Random;
  /** Monotonic, in milliseconds. */
  readonly elapsedMs: () => number;
  readonly onEnd: (span: EndedSpan) => void;
}

/** Of one trace and process; more are counted in an attribute of their parent. */
const CHILDREN_MAX = 128;

export class Tracer {
  readonly #options: TracerOptions;
  readonly #current = new AsyncLocalStorage<Span>();

  constructor(options: TracerOptions) {
    this.#options = options;
  }

  /** Of a call: `parent` and `state` are its headers. */
  start(name: string, kind: SpanKind, parent?: string, state?: string): Span {
    const { random, sampler } = this.#options;
    const before = parseTraceParent(parent, state);
    const traceId = before?.traceId ?? idOf(random, 16);
    const isSampled =
      before !== undefined && sampler.parentBased ? before.isSampled : isChosen(traceId, sampler.ratio);
    const context = { traceId, spanId: idOf(random, 8), isSampled, state: before?.state };
    return new Span(this.#options, context, before?.spanId, name, kind);
  }

  /** Runs something with the span as the current one; what it starts, and goes on later, has it too. */
  run<T>(span: Span, work: () => T): T {
    return span.isSampled ? this.#current.run(span, work) : work();
  }

  /** The current span, where it is sampled. */
  get current(): Span | undefined {
    return this.#current.getStore();
  }

  /** For whoever is asked on behalf of the current call. */
  headers(): Record<string, string> {
    const { current } = this;
    return current === undefined ? {} : traceHeaders(current.context);
  }
}

export class Span {
  readonly context: SpanContext;
  readonly #options: TracerOptions;
  readonly #parentId: string | undefined;
  readonly #kind: SpanKind;
  readonly #startMs: number;
  readonly #startedAt: number;
  readonly #attributes: Record<string, AttributeValue> = {};
  #name: string;
  #failure: string | undefined;
  #children = 0;
  #isEnded = false;

  constructor(
    options: TracerOptions,
    context: SpanContext,
    parentId: string | undefined,
    name: string,
    kind: SpanKind,
  ) {
    this.#options = options;
    this.context = context;
    this.#parentId = parentId;
    this.#name = name;
    this.#kind = kind;
    this.#startMs = context.isSampled ? options.clock.nowMs() : 0;
    this.#startedAt = context.isSampled ? options.elapsedMs() : 0;
  }

  get isSampled(): boolean {
    return this.context.isSampled;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Undefined where it is not sampled, over, or has too many. */
  child(name: string, kind: SpanKind): Span | undefined {
    if (!this.isSampled || this.#isEnded) return undefined;
    if (++this.#children > CHILDREN_MAX) {
      this.set("mic.children.dropped", this.#children - CHILDREN_MAX);
      return undefined;
    }
    const { traceId, state, spanId } = this.context;
    const context = { traceId, spanId: idOf(this.#options.random, 8), isSampled: true, state };
    return new Span(this.#options, context, spanId, name, kind);
  }

  rename(name: string): void {
    this.#name = name;
  }

  set(name: string, value: AttributeValue | undefined): void {
    if (this.isSampled && value !== undefined) this.#attributes[name] = value;
  }

  add(name: string, value: number): void {
    if (!this.isSampled) return;
    this.#attributes[name] = ((this.#attributes[name] as number | undefined) ?? 0) + value;
  }

  fail(message: string): void {
    this.#failure = message;
  }

  end(): void {
    if (!this.isSampled || this.#isEnded) return;
    this.#isEnded = true;
    this.#options.onEnd({
      context: this.context,
      parentId: this.#parentId,
      name: this.#name,
      kind: this.#kind,
      startMs: this.#startMs,
      endMs: this.#startMs + Math.max(0, this.#options.elapsedMs() - this.#startedAt),
      attributes: this.#attributes,
      failure: this.#failure,
    });
  }
}

/** The same for all servers of a trace: the lower 56 bits of its id (OpenTelemetry, TraceIdRatioBased). */
function isChosen(traceId: string, ratio: number): boolean {
  if (ratio >= 1) return true;
  return Number(BigInt(`0x${traceId.slice(18)}`)) < ratio * 2 ** 56;
}

function idOf(random: Random, bytes: number): string {
  const id = random.bytes(bytes);
  // All zero means none.
  id[0]! |= 1;
  return bytesToHex(id);
}
