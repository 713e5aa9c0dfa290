/** What the server knows of the network around it: callers' addresses, names, budgets, and the way out. */
import type { IncomingMessage } from "node:http";
import type { Clock } from "../../core/base/clock.ts";
import { AddressSet } from "./addresses.ts";
import { findPeer, type HeaderReader, type Peer } from "./client-address.ts";
import { type CrossOrigin, createCrossOrigin } from "./cross-origin.ts";
import { createHostCheck, type HostKind } from "./hosts.ts";
import type { NetworkSettings } from "./network-options.ts";
import { createOutbound, type Outbound } from "./outbound.ts";
import { createRateLimits, type RateLimits } from "./rate-limits.ts";

export interface Network {
  readonly limits: RateLimits;
  /** For every request to an address that somebody else wrote. */
  readonly outbound: Outbound;
  readonly crossOrigin: CrossOrigin;
  /** Of an HTTP/1.1 request. */
  peerOf(request: IncomingMessage): Peer;
  /** Of a gRPC call, by the address of its connection and its metadata. */
  peerAt(remoteAddress: string | undefined, headers: HeaderReader): Peer;
  /** Many callers may come from there: a trusted proxy, or this machine. */
  isShared(address: string): boolean;
  /** Of a `Host` header. */
  hostKind(host: string | undefined): HostKind;
  /**
   * The origin under which the caller sees this server: `--public-url`, else what the request says where no other
   * site could have made it say so. Undefined: it cannot be told, and what depends on it is refused.
   */
  originOf(request: IncomingMessage): string | undefined;
  /** The same of a gRPC call, by its authority. */
  originAt(authority: string | undefined, peer: Peer): string | undefined;
}

export interface NetworkOptions {
  readonly settings: NetworkSettings;
  readonly listenHost: string;
  /** Connections reach this server over TLS. */
  readonly hasTls: boolean;
  /** An origin. */
  readonly publicUrl: string | undefined;
  readonly clock: Clock;
  /** The caller of a request that another server of the same accounts passed on, as it says under its signature. */
  readonly forwardedBy?: (request: IncomingMessage) => Peer | undefined;
  /** Something was refused for its rate: `calls`, or the kind of attempt. */
  readonly onRefused?: (what: string) => void;
}

const LOOPBACK = new AddressSet(["127.0.0.0/8", "::1"]);

export function createNetwork(options: NetworkOptions): Network {
  const { settings, listenHost, hasTls, publicUrl, clock, forwardedBy, onRefused } = options;
  const { trustedProxies, allowedHosts, corsOrigins, rates, allowOutbound } = settings;
  const trusted = trustedProxies.length === 0 ? undefined : new AddressSet(trustedProxies);
  const hostKind = createHostCheck({ listenHost, publicUrl, allowedHosts });
  const peerAt = (remoteAddress: string | undefined, headers: HeaderReader): Peer =>
    findPeer(remoteAddress, hasTls, headers, trusted);
  const peerOf = (request: IncomingMessage): Peer =>
    forwardedBy?.(request) ??
    peerAt(request.socket.remoteAddress, (name) => request.headers[name]?.toString());
  const originAt = (host: string | undefined, isSecure: () => boolean): string | undefined => {
    if (publicUrl !== undefined) return publicUrl;
    if (host === undefined || hostKind(host) !== "own") return undefined;
    return `${isSecure() ? "https" : "http"}://${host.toLowerCase()}`;
  };
  return {
    limits: createRateLimits(rates, undefined, onRefused),
    outbound: createOutbound({ clock, allow: allowOutbound }),
    crossOrigin: createCrossOrigin(corsOrigins, publicUrl),
    peerOf,
    peerAt,
    isShared: (address) => LOOPBACK.has(address) || trusted?.has(address) === true,
    hostKind,
    originOf: (request) => originAt(request.headers.host, () => peerOf(request).isSecure),
    originAt: (authority, peer) => originAt(authority, () => peer.isSecure),
  };
}
