/**
 * A head that was read a while ago may name packs that merged ones have replaced since, and that the collector has
 * taken. Whoever misses one reads the head again and looks once more; only what the newest head names and the store
 * does not have is lost.
 */
import type { PackId } from "../base/ids.ts";
import { MissingPackError } from "./pack-cache.ts";
import type { PackDirectory } from "./pack-directory.ts";

/** Runs what reads packs, again after each renewal. A pack that is missed twice is lost. */
export async function renewing<T>(
  directory: Pick<PackDirectory, "version" | "renew">,
  run: () => Promise<T>,
): Promise<T> {
  const misses = new Misses(directory);
  for (;;) {
    misses.begin();
    try {
      return await run();
    } catch (error) {
      await misses.renewOrThrow(error);
    }
  }
}

/** The packs that one operation has missed so far. */
export class Misses {
  readonly #directory: Pick<PackDirectory, "version" | "renew">;
  #packs: Set<PackId> | undefined;
  #version = 0;

  constructor(directory: Pick<PackDirectory, "version" | "renew">) {
    this.#directory = directory;
  }

  /** To be called before each attempt. */
  begin(): void {
    this.#version = this.#directory.version;
  }

  /** Returns when it is worth looking again; throws `error` otherwise. */
  async renewOrThrow(error: unknown): Promise<void> {
    if (!(error instanceof MissingPackError) || this.#packs?.has(error.pack) === true) throw error;
    this.#packs ??= new Set();
    this.#packs.add(error.pack);
    if (!(await this.#directory.renew(this.#version))) throw error;
  }
}
