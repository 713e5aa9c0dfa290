/**
 * Which names this server answers to. A page of another site can make a browser reach any address under a name of its
 * own (DNS rebinding), and then asks as if it were this server's; but the request carries that name.
 *
 * | name in `Host` | taken |
 * | --- | --- |
 * | an IP address, `localhost`, `*.localhost` | always: no other site can own them |
 * | the host of `--public-url`, of `--listen`, names of `--allowed-host` | always |
 * | any other | only where other machines can reach the server and neither option is given, and then for calls with tokens only |
 */
import { isIP } from "node:net";
import { isLoopback } from "../serve-options.ts";

export interface HostOptions {
  readonly listenHost: string;
  /** An origin. */
  readonly publicUrl: string | undefined;
  readonly allowedHosts: readonly string[];
}

/** `own`: for everything, pages too. `unknown`: for calls with tokens. `foreign`: for nothing. */
export type HostKind = "own" | "unknown" | "foreign";

const REMEMBERED_MAX = 1_000;
const HOST = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_.-]{1,253}))(?::\d{1,5})?$/;

/** Of a `Host` header, or an authority. */
export function createHostCheck(options: HostOptions): (host: string | undefined) => HostKind {
  const names = new Set<string>(options.allowedHosts.map(normalize));
  if (options.publicUrl !== undefined) names.add(normalize(new URL(options.publicUrl).hostname));
  const isConfigured = names.size > 0;
  if (isIP(options.listenHost) === 0) names.add(normalize(options.listenHost));
  const otherwise: HostKind = isConfigured || isLoopback(options.listenHost) ? "foreign" : "unknown";
  const remembered = new Map<string, HostKind>();
  const check = (host: string): HostKind => {
    const match = HOST.exec(host);
    if (match === null) return "foreign";
    if (match[1] !== undefined) return isIP(match[1]) === 6 ? "own" : "foreign";
    const name = normalize(match[2]!);
    if (isIP(name) === 4 || name === "localhost" || name.endsWith(".localhost") || names.has(name)) {
      return "own";
    }
    return otherwise;
  };
  return (host) => {
    if (host === undefined) return "foreign";
    let kind = remembered.get(host);
    if (kind === undefined) {
      kind = check(host);
      if (remembered.size >= REMEMBERED_MAX) remembered.clear();
      remembered.set(host, kind);
    }
    return kind;
  };
}

function normalize(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
