/**
 * Counters and histograms in the Prometheus text format, version 0.0.4. Label values come from closed sets: a
 * caller cannot make series.
 */
import type { TierFigures } from "../core/store/cache/tier-stats.ts";

export type Labels = Readonly<Record<string, string>>;

export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram" | "summary";
  samples(): Iterable<readonly [suffix: string, labels: string, value: number]>;
}

export class Counter implements Metric {
  readonly name: string;
  readonly help: string;
  readonly type = "counter";
  readonly #values = new Map<string, number>();

  constructor(name: string, help: string) {
    this.name = name;
    this.help = help;
  }

  add(value: number, labels: string = NO_LABELS): void {
    this.#values.set(labels, (this.#values.get(labels) ?? 0) + value);
  }

  value(labels: string = NO_LABELS): number {
    return this.#values.get(labels) ?? 0;
  }

  *samples(): Generator<readonly [string, string, number]> {
    for (const [labels, value] of this.#values) yield ["", labels, value];
  }
}

/** Read when it is asked for. */
export class Gauge implements Metric {
  readonly name: string;
  readonly help: string;
  readonly type = "gauge";
  readonly #read: () => number;

  constructor(name: string, help: string, read: () => number) {
    this.name = name;
    this.help = help;
    this.#read = read;
  }

  *samples(): Generator<readonly [string, string, number]> {
    yield ["", NO_LABELS, this.#read()];
  }
}

/** Several series that somebody else counts, read when they are asked for. */
export class Readings implements Metric {
  readonly name: string;
  readonly help: string;
  readonly type: Metric["type"];
  readonly #read: () => Iterable<readonly [suffix: string, labels: string, value: number]>;

  constructor(
    type: Metric["type"],
    name: string,
    help: string,
    read: () => Iterable<readonly [suffix: string, labels: string, value: number]>,
  ) {
    this.type = type;
    this.name = name;
    this.help = help;
    this.#read = read;
  }

  samples(): Iterable<readonly [string, string, number]> {
    return this.#read();
  }
}

/** Upper bounds in seconds. */
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];

interface HistogramCells {
  /** Observations at most each bound, not cumulative; the last cell is for those above every bound. */
  readonly counts: Float64Array;
  sum: number;
}

export class Histogram implements Metric {
  readonly name: string;
  readonly help: string;
  readonly type = "histogram";
  readonly #cells = new Map<string, HistogramCells>();

  constructor(name: string, help: string) {
    this.name = name;
    this.help = help;
  }

  observe(seconds: number, labels: string = NO_LABELS): void {
    let cells = this.#cells.get(labels);
    if (cells === undefined) {
      cells = { counts: new Float64Array(BOUNDS.length + 1), sum: 0 };
      this.#cells.set(labels, cells);
    }
    let i = 0;
    while (i < BOUNDS.length && seconds > BOUNDS[i]!) i++;
    cells.counts[i]!++;
    cells.sum += seconds;
  }

  *samples(): Generator<readonly [string, string, number]> {
    for (const [labels, { counts, sum }] of this.#cells) {
      const prefix = labels === NO_LABELS ? "" : `${labels},`;
      let total = 0;
      for (let i = 0; i <= BOUNDS.length; i++) {
        total += counts[i]!;
        yield ["_bucket", `${prefix}le="${BOUNDS[i] ?? "+Inf"}"`, total];
      }
      yield ["_sum", labels, sum];
      yield ["_count", labels, total];
    }
  }
}

const NO_LABELS = "";

/** What `add` and `observe` take: made once for each combination, so that counting allocates nothing. */
export function labelText(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`))}"`)
    .join(",");
}

/** More than there are: whoever finds a way to make names fills this and nothing else. */
const ENDPOINTS_MAX = 500;
const OTHER = "/other";

/** What the server measures. */
export class ServerMetrics {
  readonly requests = new Counter("mic_requests_total", "Calls answered, by endpoint and code");
  readonly durations = new Histogram("mic_request_seconds", "Time from a call's head to its answer's end");
  readonly landings = new Counter("mic_landings_total", "Landings decided, by result");
  readonly receivedBytes = new Counter("mic_received_bytes_total", "Bytes read from connections that ended");
  readonly sentBytes = new Counter("mic_sent_bytes_total", "Bytes written to connections that ended");
  readonly refused = new Counter(
    "mic_connections_refused_total",
    "Connections and calls refused by a limit, by reason",
  );
  readonly #metrics: Metric[];
  readonly #labels = new Map<string, Map<string, { readonly both: string; readonly endpoint: string }>>();

  constructor(
    gauges: { readonly connections: () => number; readonly calls: () => number },
    startedAtMs: number,
  ) {
    const { requests, durations, landings, receivedBytes, sentBytes, refused } = this;
    this.#metrics = [
      requests,
      durations,
      landings,
      receivedBytes,
      sentBytes,
      refused,
      new Gauge("mic_connections", "Open connections", gauges.connections),
      new Gauge("mic_calls", "Calls and live streams that are running", gauges.calls),
      new Gauge("process_resident_memory_bytes", "Resident memory", () => process.memoryUsage.rss()),
      new Readings("counter", "process_cpu_seconds_total", "Processor time used", () => {
        const { user, system } = process.cpuUsage();
        return [["", NO_LABELS, (user + system) / 1e6]];
      }),
      new Gauge("process_start_time_seconds", "Start of the process, Unix time", () => startedAtMs / 1000),
    ];
  }

  /** Shown with the rest from here on. */
  add(metric: Metric): void {
    this.#metrics.push(metric);
  }

  /** What the tiers in front of the store did. */
  addTiers(figures: () => readonly TierFigures[]): void {
    const each = (
      value: (figures: TierFigures) => readonly (readonly [string, string, number])[],
    ): (() => Iterable<readonly [string, string, number]>) => {
      return () => figures().flatMap(value);
    };
    this.#metrics.push(
      new Readings(
        "counter",
        "mic_store_tier_reads_total",
        "Reads of immutable objects that came to a tier, by what it made of them",
        each(({ tier, hits, misses, failures }) => [
          ["", `tier="${tier}",result="hit"`, hits],
          ["", `tier="${tier}",result="miss"`, misses],
          ["", `tier="${tier}",result="failure"`, failures],
        ]),
      ),
      new Readings(
        "counter",
        "mic_store_tier_poisoned_total",
        "Answers of a tier that were found damaged",
        each(({ tier, poisoned }) => [["", `tier="${tier}"`, poisoned]]),
      ),
      new Readings(
        "counter",
        "mic_store_tier_bytes_total",
        "Bytes that a tier answered with",
        each(({ tier, bytes }) => [["", `tier="${tier}"`, bytes]]),
      ),
      new Readings(
        "gauge",
        "mic_store_tier_held_bytes",
        "Bytes that a tier holds",
        each(({ tier, heldBytes }) => (heldBytes === undefined ? [] : [["", `tier="${tier}"`, heldBytes]])),
      ),
      new Readings(
        "summary",
        "mic_store_tier_seconds",
        "Time that a tier took for what it answered, since the start",
        each(({ tier, p50, p99, seconds, hits }) => [
          ["", `tier="${tier}",quantile="0.5"`, p50],
          ["", `tier="${tier}",quantile="0.99"`, p99],
          ["_sum", `tier="${tier}"`, seconds],
          ["_count", `tier="${tier}"`, hits],
        ]),
      ),
    );
  }

  /** `code`: an HTTP status, or the name of a gRPC status. */
  request(endpoint: string, code: string, seconds: number): void {
    let byCode = this.#labels.get(endpoint);
    if (byCode === undefined) {
      if (this.#labels.size >= ENDPOINTS_MAX && endpoint !== OTHER) {
        this.request(OTHER, code, seconds);
        return;
      }
      byCode = new Map();
      this.#labels.set(endpoint, byCode);
    }
    let labels = byCode.get(code);
    if (labels === undefined) {
      labels = { both: labelText({ endpoint, code }), endpoint: labelText({ endpoint }) };
      byCode.set(code, labels);
    }
    this.requests.add(1, labels.both);
    this.durations.observe(seconds, labels.endpoint);
  }

  render(): string {
    const lines: string[] = [];
    for (const metric of this.#metrics) {
      lines.push(`# HELP ${metric.name} ${metric.help}`, `# TYPE ${metric.name} ${metric.type}`);
      for (const [suffix, labels, value] of metric.samples()) {
        lines.push(`${metric.name}${suffix}${labels === NO_LABELS ? "" : `{${labels}}`} ${value}`);
      }
    }
    return `${lines.join("\n")}\n`;
  }
}
