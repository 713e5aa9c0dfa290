/** What a process says of itself, under the names that Prometheus's clients use. */
import { readdirSync, readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Gauge, type Metric, Readings } from "../metrics.ts";

const DESCRIPTORS = "/proc/self/fd";
const LIMITS = "/proc/self/limits";

/** Beside those of ServerMetrics. Disposing of it ends its measuring. */
export function processMetrics(): Disposable & { readonly metrics: readonly Metric[] } {
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  const seconds = (nanoseconds: number): number => (Number.isFinite(nanoseconds) ? nanoseconds / 1e9 : 0);
  const metrics: Metric[] = [
    new Readings(
      "gauge",
      "mic_event_loop_lag_seconds",
      "How late the event loop was since it was last asked",
      () => {
        const lines = [
          ["", 'quantile="0.5"', seconds(delay.percentile(50))],
          ["", 'quantile="0.99"', seconds(delay.percentile(99))],
          ["", 'quantile="1"', seconds(delay.max)],
        ] as const;
        delay.reset();
        return lines;
      },
    ),
    new Gauge("mic_heap_bytes", "Memory of the JavaScript heap in use", () => process.memoryUsage().heapUsed),
  ];
  const most = descriptorsMax();
  if (most !== undefined) {
    metrics.push(
      new Gauge("process_open_fds", "Open file descriptors", () => readdirSync(DESCRIPTORS).length),
      new Gauge("process_max_fds", "File descriptors that may be open", () => most),
    );
  }
  return { metrics, [Symbol.dispose]: () => delay.disable() };
}

/** Undefined where the system does not say, as outside Linux. */
function descriptorsMax(): number | undefined {
  try {
    readdirSync(DESCRIPTORS);
    const soft = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync(LIMITS, "utf8"))?.[1];
    return soft === undefined || soft === "unlimited" ? undefined : Number(soft);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "EACCES" || code === "EPERM") return undefined;
    throw error;
  }
}
