/** What a process says of itself, under the names that Prometheus's clients use. */
import { readdirSync, readFileSync } from "node:fs";
import { Gauge, type Metric, Readings } from "../metrics.ts";

const DESCRIPTORS = "/proc/self/fd";
const LIMITS = "/proc/self/limits";

/** A timer that is late tells how long everything else waited, too. */
const TICK_MS = 100;

/** How late timers are: the mean and the most since it was last read. */
class LoopLag implements Disposable {
  readonly #timer: NodeJS.Timeout;
  #dueAt = performance.now() + TICK_MS;
  #ticks = 0;
  #sumMs = 0;
  #mostMs = 0;

  constructor() {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  read(): { readonly mean: number; readonly most: number } {
    const mean = this.#ticks === 0 ? 0 : this.#sumMs / this.#ticks;
    const most = this.#mostMs;
    this.#ticks = 0;
    this.#sumMs = 0;
    this.#mostMs = 0;
    return { mean, most };
  }

  #tick(): void {
    const now = performance.now();
    const lateMs = Math.max(0, now - this.#dueAt);
    this.#dueAt = now + TICK_MS;
    this.#ticks++;
    this.#sumMs += lateMs;
    this.#mostMs = Math.max(this.#mostMs, lateMs);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** Beside those of ServerMetrics. Disposing of it ends its measuring. */
export function processMetrics(): Disposable & { readonly metrics: readonly Metric[] } {
  const lag = new LoopLag();
  const metrics: Metric[] = [
    new Readings(
      "gauge",
      "mic_event_loop_lag_seconds",
      "How late timers were since this was last read",
      () => {
        const { mean, most } = lag.read();
        return [
          ["", 'stat="mean"', mean / 1000],
          ["", 'stat="max"', most / 1000],
        ];
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
  return { metrics, [Symbol.dispose]: () => lag[Symbol.dispose]() };
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
