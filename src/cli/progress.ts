/** One line on stderr that says how far a long task is. Shown only after a moment, redrawn a few times a second. */
import { formatBytes, formatCount, padEnd } from "./text.ts";

export interface ProgressBarOptions {
  readonly enabled: boolean;
  columns(): number;
  write(text: string): void;
}

export interface ProgressStep {
  readonly task: string;
  readonly done: number;
  /** 0 when unknown. */
  readonly total: number;
  readonly unit: string;
}

const SHOW_AFTER_MS = 300;
const REDRAW_MS = 80;
const TASK_CELLS = 12;

export class ProgressBar {
  readonly #options: ProgressBarOptions;
  #task = "";
  #startedMs = 0;
  #drawnMs = 0;
  #visible = false;

  constructor(options: ProgressBarOptions) {
    this.#options = options;
  }

  update(step: ProgressStep): void {
    if (!this.#options.enabled) return;
    const nowMs = performance.now();
    if (step.task !== this.#task) {
      this.#task = step.task;
      if (!this.#visible) this.#startedMs = nowMs;
    }
    if (nowMs - this.#startedMs < SHOW_AFTER_MS || nowMs - this.#drawnMs < REDRAW_MS) return;
    this.#drawnMs = nowMs;
    this.#visible = true;
    this.#options.write(`\r\u001b[2K${renderProgress(step, this.#options.columns())}`);
  }

  clear(): void {
    if (!this.#visible) return;
    this.#visible = false;
    this.#task = "";
    this.#options.write("\r\u001b[2K");
  }
}

export function renderProgress(step: ProgressStep, columns: number): string {
  const amount = (value: number): string => (step.unit === "bytes" ? formatBytes(value) : formatCount(value));
  const task = padEnd(step.task, TASK_CELLS);
  if (step.total === 0)
    return `${task} ${amount(step.done)} ${step.unit === "bytes" ? "" : step.unit}`.trimEnd();
  const fraction = Math.min(1, step.done / step.total);
  const numbers = `${String(Math.floor(fraction * 100)).padStart(3)} %  ${amount(step.done)} of ${amount(step.total)}${step.unit === "bytes" ? "" : ` ${step.unit}`}`;
  const cells = Math.max(0, Math.min(30, columns - TASK_CELLS - numbers.length - 6));
  const filled = Math.round(fraction * cells);
  const bar = cells < 5 ? "" : `[${"#".repeat(filled)}${"-".repeat(cells - filled)}] `;
  return `${task} ${bar}${numbers}`;
}
