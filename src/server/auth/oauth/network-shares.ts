/**
 * How much of something that everybody may fill each network has: an IPv4 address, the /48 of an IPv6 one. Where there
 * is no more room, whoever has the most gives way: by /64 one who has a /48 could have one everywhere, and none gave way.
 */
import { addressNetwork } from "../../network/client-address.ts";

export class NetworkShares<T> {
  readonly #shares = new Map<string, T[]>();

  /** What the network of an address has, in the order in which it was added. */
  of(address: string): T[] {
    const network = addressNetwork(address);
    let share = this.#shares.get(network);
    if (share === undefined) {
      share = [];
      this.#shares.set(network, share);
    }
    return share;
  }

  /** Of several that are as large, the one that was begun first. */
  largest(): T[] {
    let most: T[] = [];
    for (const share of this.#shares.values()) if (share.length > most.length) most = share;
    return most;
  }
}
