/** From an `authorization` header to a principal. */
import { MicError } from "../../core/base/errors.ts";
import type { Accounts } from "./accounts.ts";
import { NOBODY, type Principal } from "./principal.ts";

/** For `ServerContext.authenticate`. */
export function createAuthenticate(
  accounts: Pick<Accounts, "authenticate">,
): (authorization: string | undefined) => Principal {
  return (authorization) => {
    if (authorization === undefined) return NOBODY;
    const token = /^bearer +([^\s]+)$/i.exec(authorization)?.[1];
    if (token === undefined) {
      throw new MicError("unauthenticated", "the authorization header holds no bearer token", {
        hint: "send `authorization: Bearer TOKEN`, or sign in: `mic auth login --server URL --token TOKEN`",
      });
    }
    return accounts.authenticate(token);
  };
}
