/** IP addresses: which are public, and sets of them written as addresses and ranges. */
import { BlockList, isIP, isIPv4 } from "node:net";

/**
 * IPv4 ranges that are not, or not surely, somebody else's public machine.
 *
 * | range | what | source |
 * | --- | --- | --- |
 * | 0.0.0.0/8 | this network; this host | RFC 1122, 3.2.1.3 |
 * | 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 | private | RFC 1918 |
 * | 100.64.0.0/10 | shared by carriers; some clouds' metadata | RFC 6598 |
 * | 127.0.0.0/8 | loopback | RFC 1122, 3.2.1.3 |
 * | 168.63.129.16 | Azure's own services, from within | Azure's documentation |
 * | 169.254.0.0/16 | link-local; most clouds' metadata | RFC 3927 |
 * | 192.0.0.0/24 | protocol assignments | RFC 6890 |
 * | 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24 | documentation | RFC 5737 |
 * | 192.88.99.0/24 | 6to4 relays | RFC 7526 |
 * | 198.18.0.0/15 | benchmarks | RFC 2544 |
 * | 224.0.0.0/4 | multicast | RFC 5771 |
 * | 240.0.0.0/4 | reserved, with the broadcast address | RFC 1112, RFC 919 |
 */
const IPV4_NOT_PUBLIC = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "168.63.129.16/32",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
];

/**
 * IPv6 is the other way about: only global unicast (2000::/3, RFC 4291) can be public, which leaves out ::1, mapped
 * (::ffff:0:0/96) and compatible IPv4, NAT64 (64:ff9b::/96, RFC 6052, and 64:ff9b:1::/48, RFC 8215), unique-local
 * (fc00::/7, RFC 4193), link-local (fe80::/10) and multicast (ff00::/8). Of it these are not:
 *
 * | range | what | source |
 * | --- | --- | --- |
 * | 2001::/23 | protocol assignments, with Teredo and ORCHID | RFC 2928, 4380, 7343 |
 * | 2001:db8::/32, 3fff::/20 | documentation | RFC 3849, RFC 9637 |
 * | 2002::/16 | 6to4: an IPv4 address inside | RFC 3056, RFC 7526 |
 */
const IPV6_PUBLIC = "2000::/3";
const IPV6_NOT_PUBLIC = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"];

const CIDR = /^([0-9a-fA-F:.]{2,45})(?:\/(\d{1,3}))?$/;

/** A set of addresses and ranges. IPv4 and the same address mapped into IPv6 are one. */
export class AddressSet {
  readonly #list = new BlockList();

  constructor(ranges: Iterable<string> = []) {
    for (const range of ranges) {
      const parsed = parseRange(range);
      if (parsed === undefined) throw new RangeError(`not an address or range: ${range}`);
      this.#list.addSubnet(parsed.address, parsed.bits, parsed.family);
    }
  }

  has(address: string): boolean {
    const plain = plainAddress(address);
    return plain !== undefined && this.#list.check(plain, isIPv4(plain) ? "ipv4" : "ipv6");
  }
}

export interface AddressRange {
  readonly address: string;
  /** Of the prefix. */
  readonly bits: number;
  readonly family: "ipv4" | "ipv6";
}

/** `10.0.0.0/8`, `::1`; undefined for anything else. */
export function parseRange(text: string): AddressRange | undefined {
  const match = CIDR.exec(text);
  const family = match === null ? 0 : isIP(match[1]!);
  if (match === null || family === 0) return undefined;
  const bitsMax = family === 4 ? 32 : 128;
  const bits = match[2] === undefined ? bitsMax : Number(match[2]);
  if (bits > bitsMax) return undefined;
  return { address: match[1]!, bits, family: family === 4 ? "ipv4" : "ipv6" };
}

/** Without a zone (`%eth0`); mapped IPv4 as IPv4. Undefined: not an address. */
export function plainAddress(text: string): string | undefined {
  const zone = text.indexOf("%");
  const address = zone < 0 ? text : text.slice(0, zone);
  const family = isIP(address);
  if (family === 0) return undefined;
  return family === 6 ? (mappedIPv4(address) ?? address) : address;
}

const MAPPED_DOTTED = /^(?:0{0,4}:){2,6}ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i;
const MAPPED_HEX = /^(?:0{0,4}:){2,6}ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i;

/** Of a valid IPv6 address. */
function mappedIPv4(address: string): string | undefined {
  const dotted = MAPPED_DOTTED.exec(address);
  if (dotted !== null) return dotted[1];
  const hex = MAPPED_HEX.exec(address);
  if (hex === null) return undefined;
  const [high, low] = [Number.parseInt(hex[1]!, 16), Number.parseInt(hex[2]!, 16)];
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

const ipv4NotPublic = new AddressSet(IPV4_NOT_PUBLIC);
const ipv6Public = new AddressSet([IPV6_PUBLIC]);
const ipv6NotPublic = new AddressSet(IPV6_NOT_PUBLIC);

/** Whether this is, by its form, somebody's public machine. An address inside another (mapped, NAT64) never is. */
export function isPublicAddress(text: string): boolean {
  if (isIPv4(text)) return !ipv4NotPublic.has(text);
  return isIP(text) === 6 && !text.includes("%") && ipv6Public.has(text) && !ipv6NotPublic.has(text);
}
