/** W3C Trace Context (level 1): `traceparent: 00-<trace id>-<parent span id>-<flags>`, and `tracestate`. */

export interface SpanContext {
  /** 32 hex digits, not all zero. */
  readonly traceId: string;
  /** 16 hex digits, not all zero. */
  readonly spanId: string;
  readonly isSampled: boolean;
  /** Others' notes, passed on as they are. */
  readonly state: string | undefined;
}

const PARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const STATE_CHARACTERS_MAX = 512;
const STATE = /^[\x20-\x7e]+$/;

/** Undefined for a header that is missing or wrong: a trace begins here then. */
export function parseTraceParent(
  parent: string | undefined,
  state: string | undefined,
): SpanContext | undefined {
  const match = parent === undefined ? null : PARENT.exec(parent.trim());
  if (match === null) return undefined;
  const [, version, traceId, spanId, flags, rest] = match;
  // A later version may have more behind it; ff is none.
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId!) || /^0+$/.test(spanId!)) return undefined;
  const isStateGood = state !== undefined && state.length <= STATE_CHARACTERS_MAX && STATE.test(state);
  return {
    traceId: traceId!,
    spanId: spanId!,
    isSampled: (Number.parseInt(flags!, 16) & 1) === 1,
    state: isStateGood ? state : undefined,
  };
}

/** Headers for whoever is asked next. */
export function traceHeaders({ traceId, spanId, isSampled, state }: SpanContext): Record<string, string> {
  const traceparent = `00-${traceId}-${spanId}-${isSampled ? "01" : "00"}`;
  return state === undefined ? { traceparent } : { traceparent, tracestate: state };
}
