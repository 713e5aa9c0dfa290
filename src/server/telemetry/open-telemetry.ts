/** Traces of a server, where its environment asks for them: docs/monitoring.md. */
import type { Clock } from "../../core/base/clock.ts";
import type { Random } from "../../core/base/random.ts";
import type { ServerLog } from "../context.ts";
import { Counter, type Metric } from "../metrics.ts";
import type { AttemptTrace } from "../webhooks/delivery-queue.ts";
import type { Webhook } from "../webhooks/webhook.ts";
import { SpanExporter } from "./span-exporter.ts";
import { traceHeaders } from "./trace-context.ts";
import { readTraceSettings } from "./trace-settings.ts";
import { Tracer } from "./tracer.ts";

export interface OpenTelemetry {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ServerLog;
  /** mic's. */
  readonly version: string;
  readonly addMetric: (metric: Metric) => void;
}

export interface Telemetry extends AsyncDisposable {
  readonly tracer: Tracer;
}

/** Undefined: no traces, and no cost. Errors: `usage` for a variable that is wrong. */
export function openTelemetry({
  env,
  clock,
  random,
  log,
  version,
  addMetric,
}: OpenTelemetry): Telemetry | undefined {
  const settings = readTraceSettings(env);
  if (settings === undefined) return undefined;
  for (const message of settings.warnings) log.warn("options", { message });
  const spans = new Counter("mic_trace_spans_total", "Spans that ended, by what became of them");
  addMetric(spans);
  const exporter = new SpanExporter({
    settings,
    clock,
    random,
    log,
    version,
    onResult: (result, count) => spans.add(count, `result="${result}"`),
  });
  const tracer = new Tracer({
    sampler: settings.sampler,
    clock,
    random,
    elapsedMs: () => performance.now(),
    onEnd: (span) => exporter.add(span),
  });
  return { tracer, [Symbol.asyncDispose]: () => exporter[Symbol.asyncDispose]() };
}

/** A trace of its own for each attempt: what caused the message is long over. */
export function traceAttempts(tracer: Tracer): (webhook: Webhook) => AttemptTrace {
  return ({ id, url }) => {
    const span = tracer.start("webhook POST", "client");
    span.set("server.address", new URL(url).hostname);
    span.set("mic.webhook", id);
    return {
      headers: traceHeaders(span.context),
      done: (outcome) => {
        if (outcome.kind === "answered") span.set("http.response.status_code", outcome.status);
        if (outcome.kind === "failed") span.fail(outcome.error);
        else if (outcome.status >= 400) span.fail(`answered ${outcome.status}`);
        span.end();
      },
    };
  };
}
