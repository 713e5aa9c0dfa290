/** What is known of a call once it is over: who made it, and how its failure is named. Kept on the call itself. */
import type { IncomingMessage } from "node:http";
import { bytesToHex } from "../../core/base/bytes.ts";
import type { Random } from "../../core/base/random.ts";
import type { Principal } from "../auth/principal.ts";

const CALLER = Symbol("caller");
const REQUEST_ID = Symbol("request id");
const REQUEST_ID_BYTES = 8;

/** An `IncomingMessage`, or whatever stands for a call over gRPC. */
interface Notes {
  [CALLER]?: Principal;
  [REQUEST_ID]?: string;
}

export function noteCaller(call: object, principal: Principal): void {
  (call as Notes)[CALLER] = principal;
}

export function callerOf(call: object): Principal | undefined {
  return (call as Notes)[CALLER];
}

/** 16 hex digits, the same each time: in the log, and in what the caller is told of an internal error. */
export function requestIdOf(call: object, random: Random): string {
  const notes = call as Notes;
  notes[REQUEST_ID] ??= bytesToHex(random.bytes(REQUEST_ID_BYTES));
  return notes[REQUEST_ID];
}

export interface AnsweredCall {
  readonly request: IncomingMessage;
  readonly endpoint: string;
  readonly status: number;
  readonly seconds: number;
  readonly address: string;
}

/** The fields of a line in the log. A token is named by its id, never by its secret. */
export function callFields(
  { request, endpoint, status, seconds, address }: AnsweredCall,
  random: Random,
): Readonly<Record<string, unknown>> {
  const caller = callerOf(request);
  return {
    requestId: requestIdOf(request, random),
    method: request.method,
    endpoint,
    status,
    ms: Math.round(seconds * 1000),
    address,
    ...(caller?.userId === undefined ? {} : { account: caller.account, tokenId: caller.tokenId }),
  };
}
