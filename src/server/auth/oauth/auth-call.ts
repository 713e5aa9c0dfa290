/** What the OAuth endpoints and the pages are given, and what they answer. */
import type { IncomingMessage } from "node:http";
import type { ServerContext } from "../../context.ts";
import type { User } from "../accounts.ts";
import type { AuthDatabase } from "../database/auth-database.ts";
import type { PageSessions } from "../pages/page-sessions.ts";
import { NOBODY, type Principal } from "../principal.ts";
import type { AuthorizationCodes } from "./authorization-codes.ts";
import type { Clients } from "./clients.ts";
import type { DeviceCodes } from "./device-codes.ts";
import type { Origin } from "./origin.ts";
import type { SignInGuard } from "./sign-in-guard.ts";
import type { TokenPairs } from "./token-pairs.ts";

export interface AuthServices {
  readonly context: Pick<
    ServerContext,
    "accounts" | "audit" | "clock" | "random" | "log" | "durability" | "network"
  >;
  readonly database: AuthDatabase;
  readonly clients: Clients;
  readonly devices: DeviceCodes;
  readonly codes: AuthorizationCodes;
  readonly pairs: TokenPairs;
  readonly sessions: PageSessions;
  readonly passwordGuard: SignInGuard;
  readonly userCodeGuard: SignInGuard;
}

/** What is done for a caller however its call came: over HTTP, or as a method of the API. */
export interface SignInCall {
  readonly services: AuthServices;
  /** Of the caller. */
  readonly address: string;
}

export interface AuthCall extends SignInCall {
  readonly request: IncomingMessage;
  /** After the question mark. */
  readonly query: string;
  readonly origin: Origin;
}

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly text: string;
}

export type Handle = (call: AuthCall) => Reply | Promise<Reply>;

export function jsonReply(status: number, value: unknown, headers: Reply["headers"] = {}): Reply {
  return {
    status,
    headers: {
      "content-type": "application/json",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...headers,
    },
    text: JSON.stringify(value),
  };
}

/** Writes down what a user did here, or what was done with the user's tokens. */
export function record(
  { services, address }: SignInCall,
  user: User | string | undefined,
  action: string,
  target: string,
  detail: Readonly<Record<string, unknown>> = {},
  tokenId?: string,
): void {
  const found = typeof user === "string" ? services.context.accounts.findUser(user) : user;
  const principal: Principal =
    found === undefined
      ? NOBODY
      : { ...NOBODY, account: found.name, userId: found.id, isSiteAdmin: found.isSiteAdmin, tokenId };
  services.context.audit.record({ principal, address, action, target, detail });
}
