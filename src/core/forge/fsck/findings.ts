/** What a check found so far. */
import { throwIfAborted } from "../../base/clock.ts";
import { isMicError, type MicError } from "../../base/errors.ts";
import type { Position } from "../../base/ids.ts";
import type { TreePath } from "../../base/path.ts";
import type { FsckFinding } from "../forge.ts";

/** More are counted, not kept. */
const FINDINGS_MAX = 1000;

export interface Where {
  /** A store key, an object id or a name. */
  readonly object?: string;
  readonly position?: Position;
  readonly path?: TreePath;
}

export class Findings {
  readonly signal: AbortSignal | undefined;
  readonly #list: FsckFinding[] = [];
  #dropped = 0;

  constructor(signal: AbortSignal | undefined) {
    this.signal = signal;
  }

  error(code: string, message: string, where: Where = {}): void {
    this.#add({ severity: "error", code, message, ...where });
  }

  /** Something that costs space or time, and loses nothing. */
  warning(code: string, message: string, where: Where = {}): void {
    this.#add({ severity: "warning", code, message, ...where });
  }

  /**
   * Runs one check. What it throws about the stored data becomes a finding and `undefined`; a store that cannot
   * be reached, an abort and bugs are thrown on, since they say nothing about the data.
   */
  async attempt<T>(where: Where, check: () => T | Promise<T>): Promise<T | undefined> {
    throwIfAborted(this.signal);
    try {
      return await check();
    } catch (error) {
      if (!isMicError(error) || !isAboutData(error)) throw error;
      this.error(error.code, error.message, where);
      return undefined;
    }
  }

  /** The same for what is said otherwise: what is wrong with the data, or `undefined`. */
  async judge(check: () => Promise<string | undefined>): Promise<string | undefined> {
    throwIfAborted(this.signal);
    try {
      return await check();
    } catch (error) {
      if (!isMicError(error) || !isAboutData(error)) throw error;
      return error.message;
    }
  }

  finish(): readonly FsckFinding[] {
    if (this.#dropped > 0) {
      const message = `${this.#dropped} more findings are not listed`;
      this.#list.push({ severity: "error", code: "too-many", message });
    }
    return this.#list;
  }

  #add(finding: FsckFinding): void {
    if (this.#list.length < FINDINGS_MAX) this.#list.push(finding);
    else this.#dropped++;
  }
}

function isAboutData(error: MicError): boolean {
  return !["unreachable", "aborted", "internal", "forbidden", "unauthenticated"].includes(error.code);
}
