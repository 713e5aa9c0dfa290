/**
 * How much of something that everybody may fill each address has: an IPv4 address, the /64 of an IPv6 one. Where there
 * is no more room, whoever has the most gives way.
 */
import { addressBlock } from "../../network/client-address.ts";

export interface Share<Row> {
  readonly block: string;
  /** In the order in which they were given. */
  readonly rows: readonly Row[];
}

/** The largest first. */
export function sharesByAddress<Row extends { readonly address: string }>(rows: Iterable<Row>): Share<Row>[] {
  const shares = new Map<string, Row[]>();
  for (const row of rows) {
    const block = addressBlock(row.address);
    const share = shares.get(block);
    if (share === undefined) shares.set(block, [row]);
    else share.push(row);
  }
  return [...shares]
    .map(([block, of]) => ({ block, rows: of }))
    .sort((a, b) => b.rows.length - a.rows.length);
}
