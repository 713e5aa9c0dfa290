/** How many connections one address may hold open, so that none takes those of all. */
import { addressBlock } from "./client-address.ts";

export class ConnectionPlaces {
  readonly #most: number;
  readonly #isExempt: (address: string) => boolean;
  readonly #open = new Map<string, number>();

  /** `isExempt`: proxies, behind which many are. */
  constructor(most: number, isExempt: (address: string) => boolean) {
    this.#most = most;
    this.#isExempt = isExempt;
  }

  /** The result gives the place back, once. Undefined: the address holds as many as it may. */
  take(address: string): (() => void) | undefined {
    if (this.#isExempt(address)) return () => undefined;
    const block = addressBlock(address);
    const open = this.#open.get(block) ?? 0;
    if (open >= this.#most) return undefined;
    this.#open.set(block, open + 1);
    return () => {
      const rest = this.#open.get(block)! - 1;
      if (rest === 0) this.#open.delete(block);
      else this.#open.set(block, rest);
    };
  }
}
