/**
 * How much of something that everybody may fill each network has: an IPv4 address, the /48 of an IPv6 one. Where there
 * is no more room, whoever has the most gives way: by /64 one who has a /48 could have one everywhere, and none gave way.
 */
import { addressNetwork } from "../../network/client-address.ts";

export interface Share<Row> {
  readonly network: string;
  /** In the order in which they were given. */
  readonly rows: readonly Row[];
}

/** The largest first. */
export function sharesByNetwork<Row extends { readonly address: string }>(rows: Iterable<Row>): Share<Row>[] {
  const shares = new Map<string, Row[]>();
  for (const row of rows) {
    const network = addressNetwork(row.address);
    const share = shares.get(network);
    if (share === undefined) shares.set(network, [row]);
    else share.push(row);
  }
  return [...shares]
    .map(([network, of]) => ({ network, rows: of }))
    .sort((a, b) => b.rows.length - a.rows.length);
}
