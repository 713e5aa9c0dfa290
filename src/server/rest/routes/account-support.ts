/** What the routes of accounts have in common. */
import type { User } from "../../auth/accounts.ts";
import type { TokenCall } from "../../auth/own-tokens.ts";
import { noSuchUser } from "../../auth/users.ts";
import type { Call } from "../route.ts";

type AnyCall = Call<unknown, unknown, unknown>;

/** Writes down what the caller did. `detail` is never a secret; what is undefined in it is left out. */
export function record(
  { state, principal, request }: Pick<AnyCall, "state" | "principal" | "request">,
  action: string,
  target: string,
  detail?: Readonly<Record<string, unknown>>,
): void {
  const { audit, network } = state.context;
  const { address } = network.peerOf(request);
  audit.record({ principal, address, action, target, ...(detail === undefined ? {} : { detail }) });
}

export function tokenCall({
  state,
  principal,
  request,
}: Pick<AnyCall, "state" | "principal" | "request">): TokenCall {
  const { context } = state;
  return { context, principal, address: context.network.peerOf(request).address };
}

/** By name, address or id. Errors: `not-found`. */
export function existingUser({ state }: Pick<AnyCall, "state">, what: string): User {
  const user = state.context.accounts.findUser(what);
  if (user === undefined) throw noSuchUser(what);
  return user;
}
