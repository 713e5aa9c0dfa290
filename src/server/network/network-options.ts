/** The options of `mic serve` about its network, from flags and environment, checked. */
import { MicError } from "../../core/base/errors.ts";
import { parseRange } from "./addresses.ts";
import { isAllowEntry } from "./outbound.ts";
import { RATES_DEFAULT, type RateSettings } from "./rate-limits.ts";

/** As they were written: lists are separated by commas. */
export interface NetworkFlags {
  readonly trustedProxy?: string;
  readonly allowedHost?: string;
  readonly corsOrigin?: string;
  readonly rateLimit?: string;
  readonly allowOutbound?: string;
}

export interface NetworkSettings {
  /** Addresses and ranges. */
  readonly trustedProxies: readonly string[];
  readonly allowedHosts: readonly string[];
  /** Origins, or `*`. */
  readonly corsOrigins: readonly string[];
  /** Undefined: calls are not limited. */
  readonly rates: RateSettings | undefined;
  readonly allowOutbound: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

const HOST_NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?$/;
const RATES = /^(\d{1,7})(?:,(\d{1,7}))?$/;

/** Errors: `usage` names the flag or variable. */
export function readNetworkSettings(flags: NetworkFlags, env: Environment): NetworkSettings {
  return {
    trustedProxies: readList(
      { flag: flags.trustedProxy, name: "--trusted-proxy", variable: "MIC_TRUSTED_PROXIES", env },
      (text) => parseRange(text) !== undefined,
      "an address or range like 10.0.0.0/8",
    ),
    allowedHosts: readList(
      { flag: flags.allowedHost, name: "--allowed-host", variable: "MIC_ALLOWED_HOSTS", env },
      (text) => HOST_NAME.test(text),
      "a host name like forge.example.com",
    ),
    corsOrigins: readList(
      { flag: flags.corsOrigin, name: "--cors-origin", variable: "MIC_CORS_ORIGINS", env },
      isOrigin,
      "an origin like https://app.example.com, or *",
    ),
    rates: readRates({ flag: flags.rateLimit, name: "--rate-limit", variable: "MIC_RATE_LIMIT", env }),
    allowOutbound: readList(
      { flag: flags.allowOutbound, name: "--allow-outbound", variable: "MIC_ALLOW_OUTBOUND", env },
      isAllowEntry,
      "a host, an address or a range",
    ),
  };
}

interface Source {
  readonly flag: string | undefined;
  readonly name: string;
  readonly variable: string;
  readonly env: Environment;
}

function readList(source: Source, isValid: (text: string) => boolean, what: string): string[] {
  const found = read(source);
  if (found === undefined) return [];
  const entries = found.text.split(",").map((entry) => entry.trim());
  for (const entry of entries) {
    if (!isValid(entry)) throw wrong(found.from, JSON.stringify(entry), what);
  }
  return entries;
}

/** `off`; units a second of an address; or those, a comma, and units a second of a user. */
function readRates(source: Source): RateSettings | undefined {
  const found = read(source);
  if (found === undefined) return RATES_DEFAULT;
  if (found.text === "off") return undefined;
  const match = RATES.exec(found.text);
  const anonymous = Number(match?.[1]);
  const signedIn = match?.[2] === undefined ? RATES_DEFAULT.signedIn : Number(match[2]);
  // A minute's worth must pay for the dearest call.
  if (match === null || anonymous < 1 || signedIn < 1) {
    throw wrong(
      found.from,
      JSON.stringify(found.text),
      `off, or units a second: ${RATES_DEFAULT.anonymous},${RATES_DEFAULT.signedIn}`,
    );
  }
  return { anonymous, signedIn };
}

function read({
  flag,
  name,
  variable,
  env,
}: Source): { readonly text: string; readonly from: string } | undefined {
  if (flag !== undefined) return { text: flag, from: name };
  const text = env[variable];
  return text === undefined || text === "" ? undefined : { text, from: variable };
}

function isOrigin(text: string): boolean {
  if (text === "*") return true;
  return /^https?:\/\//.test(text) && URL.canParse(text) && new URL(text).origin === text;
}

function wrong(from: string, text: string, what: string): MicError {
  return new MicError("usage", `${from}: ${text} is not ${what}`, { hint: `${from} takes ${what}` });
}
