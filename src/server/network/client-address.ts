/**
 * Where a request came from. What a proxy says of it is believed of proxies that the operator trusts, and of nobody
 * else: anybody can send the same header.
 */
import { isIPv6 } from "node:net";
import { type AddressSet, plainAddress } from "./addresses.ts";

export interface Peer {
  /** An address; `unknown` where the connection is gone. */
  readonly address: string;
  /** The caller reached the first trusted proxy, or this server, over TLS. */
  readonly isSecure: boolean;
}

/** By names in lower case; several values of one name are joined by commas. */
export type HeaderReader = (name: string) => string | undefined;

/** Addresses of one header that are looked at. */
const HOPS_MAX = 32;
const UNKNOWN = "unknown";

/**
 * From the connection outwards: while the last known hop is a trusted proxy, what it says of the one before it is
 * true. `Forwarded` (RFC 7239) is read where there is one, else `X-Forwarded-For`; a proxy that sends both is not to
 * be trusted with either, as a caller may have written the one that it does not set: the address is then the proxy's.
 */
export function findPeer(
  remoteAddress: string | undefined,
  isSecure: boolean,
  headers: HeaderReader,
  trusted: AddressSet | undefined,
): Peer {
  const address = plainAddress(remoteAddress ?? "") ?? UNKNOWN;
  if (trusted === undefined || !trusted.has(address)) return { address, isSecure };
  const forwarded = headers("forwarded");
  const forwardedFor = headers("x-forwarded-for");
  if (forwarded !== undefined && forwardedFor !== undefined) return { address, isSecure };
  const hops = forwarded === undefined ? readForwardedFor(forwardedFor, headers) : readForwarded(forwarded);
  let peer: Peer = { address, isSecure };
  for (let i = hops.length - 1; i >= 0 && hops.length - i <= HOPS_MAX; i--) {
    const hop = hops[i]!;
    const before = hop.address;
    if (before === undefined) return { address: peer.address, isSecure: hop.isSecure ?? peer.isSecure };
    peer = { address: before, isSecure: hop.isSecure ?? peer.isSecure };
    if (!trusted.has(before)) return peer;
  }
  return peer;
}

interface Hop {
  /** Undefined: not an address. */
  readonly address: string | undefined;
  readonly isSecure: boolean | undefined;
}

/** `X-Forwarded-Proto` tells of the caller, or, as long as the other, of each hop. */
function readForwardedFor(text: string | undefined, headers: HeaderReader): Hop[] {
  const protocols = (headers("x-forwarded-proto") ?? "").split(",").map((each) => each.trim().toLowerCase());
  if (text === undefined) {
    return [{ address: undefined, isSecure: secureOf(protocols.at(-1)) }];
  }
  const parts = text.split(",");
  return parts.map((part, i) => ({
    address: readNode(part.trim()),
    isSecure: secureOf(protocols.length === parts.length ? protocols[i] : protocols.at(-1)),
  }));
}

/** RFC 7239, section 4: elements `for=…;proto=…`, separated by commas. Nothing of a value may hold either. */
function readForwarded(text: string): Hop[] {
  return text.split(",").map((element) => {
    let address: string | undefined;
    let isSecure: boolean | undefined;
    for (const pair of element.split(";")) {
      const equals = pair.indexOf("=");
      const name = pair.slice(0, Math.max(0, equals)).trim().toLowerCase();
      const value = pair
        .slice(equals + 1)
        .trim()
        .replace(/^"(.*)"$/, "$1");
      if (name === "for") address = readNode(value);
      else if (name === "proto") isSecure = secureOf(value.toLowerCase());
    }
    return { address, isSecure };
  });
}

/** `1.2.3.4`, `1.2.3.4:80`, `2001:db8::1`, `[2001:db8::1]:80`. */
function readNode(text: string): string | undefined {
  const bracketed = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(text)?.[1];
  if (bracketed !== undefined) return isIPv6(bracketed) ? plainAddress(bracketed) : undefined;
  return plainAddress(/^([\d.]+):\d{1,5}$/.exec(text)?.[1] ?? text);
}

function secureOf(protocol: string | undefined): boolean | undefined {
  return protocol === "https" ? true : protocol === "http" ? false : undefined;
}

/** What counts as one caller: an IPv4 address; the /64 of an IPv6 one, which is what one machine is given. */
export function addressBlock(address: string): string {
  return address.includes(":") ? `${groupsOf(address).slice(0, 4).join(":")}::/64` : address;
}

/** What one customer of a network may have: an IPv4 address; the /48 of an IPv6 one, with its 65,536 blocks. */
export function addressNetwork(address: string): string {
  return address.includes(":") ? `${groupsOf(address).slice(0, 3).join(":")}::/48` : address;
}

/** The first groups of a valid IPv6 address, those left out written. */
function groupsOf(address: string): string[] {
  const gap = address.indexOf("::");
  if (gap < 0) return address.toLowerCase().split(":").map(short);
  const before = address.slice(0, gap).split(":").filter(Boolean);
  const after = address
    .slice(gap + 2)
    .split(":")
    .filter(Boolean);
  // Dotted IPv4 at the end stands for two groups.
  const written = before.length + after.length + (address.includes(".") ? 1 : 0);
  const zeros = Array.from({ length: Math.max(0, 8 - written) }, () => "0");
  return [...before, ...zeros, ...after].map((group) => short(group.toLowerCase()));
}

function short(group: string): string {
  return group.replace(/^0+(?=.)/, "");
}
