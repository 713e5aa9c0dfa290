/** Spans as OTLP/HTTP takes them in JSON (opentelemetry-proto 1.x): ids in hex, 64-bit numbers as strings. */
import type { AttributeValue, EndedSpan, SpanKind } from "./tracer.ts";

const KINDS: Readonly<Record<SpanKind, number>> = { internal: 1, server: 2, client: 3 };
const STATUS_ERROR = 2;
/** W3C's flags in the lower eight bits; that the parent is of another process is not said. */
const FLAG_SAMPLED = 1;

export interface OtlpSource {
  readonly resource: Readonly<Record<string, AttributeValue>>;
  /** mic's. */
  readonly version: string;
}

/** An `ExportTraceServiceRequest`. */
export function encodeSpans({ resource, version }: OtlpSource, spans: readonly EndedSpan[]): string {
  return JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: attributesOf(resource) },
        scopeSpans: [{ scope: { name: "mic", version }, spans: spans.map(encodeSpan) }],
      },
    ],
  });
}

function encodeSpan({ context, parentId, name, kind, startMs, endMs, attributes, failure }: EndedSpan) {
  return {
    traceId: context.traceId,
    spanId: context.spanId,
    ...(context.state === undefined ? {} : { traceState: context.state }),
    ...(parentId === undefined ? {} : { parentSpanId: parentId }),
    flags: FLAG_SAMPLED,
    name,
    kind: KINDS[kind],
    startTimeUnixNano: nanosecondsOf(startMs),
    endTimeUnixNano: nanosecondsOf(endMs),
    attributes: attributesOf(attributes),
    ...(failure === undefined ? {} : { status: { code: STATUS_ERROR, message: failure } }),
  };
}

function attributesOf(attributes: Readonly<Record<string, AttributeValue>>) {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: encodeValue(value) }));
}

function encodeValue(value: AttributeValue) {
  if (typeof value === "string") return { stringValue: value.toWellFormed() };
  if (typeof value === "boolean") return { boolValue: value };
  return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}

/** Exact to the microsecond: a double holds no more of today's times. */
function nanosecondsOf(ms: number): string {
  const whole = Math.floor(ms);
  return `${whole}${String(Math.floor((ms - whole) * 1e6)).padStart(6, "0")}`;
}
