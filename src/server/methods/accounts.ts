/** `mic.v1.AccountService`. */
import { EMPTY_BYTES, hexToBytes } from "../../core/base/bytes.ts";
import { MicError } from "../../core/base/errors.ts";
import { scopeFromWire, scopeToWire } from "../../core/wire/accounts.ts";
import { ID_BYTES, idFromWire, numberFromWire } from "../../core/wire/common.ts";
import { AccountServiceDefinition, type Token as WireToken } from "../../core/wire/gen/mic/v1/accounts.ts";
import type { Token } from "../auth/accounts.ts";
import { createOwnToken, currentToken, revokeOwnToken } from "../auth/own-tokens.ts";
import type { Principal } from "../auth/principal.ts";
import { methodsOf } from "./define-method.ts";
import type { Method } from "./method.ts";
import { SIGN_IN } from "./sign-in.ts";

const ACCESS = {
  whoAmI: "signed-in",
  listTokens: "account",
  createToken: "account",
  revokeToken: "account",
  startDeviceFlow: "anyone",
  pollDeviceFlow: "anyone",
  refreshToken: "anyone",
  revokeSignIn: "anyone",
} as const;

export function accountMethods(): Method[] {
  return methodsOf(AccountServiceDefinition, ACCESS, {
    whoAmI: async (_request, call) => {
      const { context, principal } = call;
      const user = context.accounts.findUser(principal.userId!);
      if (user === undefined) {
        throw new MicError("unauthenticated", `there is no user ${principal.account} any more`);
      }
      const token = currentToken(call);
      return {
        id: hexToBytes(user.id),
        name: user.name,
        email: user.email ?? "",
        isSiteAdmin: user.isSiteAdmin,
        createdAtMs: BigInt(user.createdAtMs),
        token: token === undefined ? givenToken(principal) : tokenToWire(token),
      };
    },
    listTokens: async (_request, { context, principal }) => {
      const tokens = context.accounts.listTokens(principal.userId!);
      return { tokens: tokens.map(tokenToWire) };
    },
    createToken: async ({ name, scope, project, expiresAtMs }, call) => {
      const { token, secret } = await createOwnToken(call, {
        name,
        scope: scopeFromWire(scope) ?? "write",
        ...(project === "" ? {} : { project }),
        ...(expiresAtMs === 0n ? {} : { expiresAtMs: numberFromWire(expiresAtMs, "time") }),
      });
      return { token: tokenToWire(token), secret };
    },
    revokeToken: async ({ id }, call) => {
      await revokeOwnToken(call, idFromWire<string>(id, ID_BYTES, "a token id"));
      return {};
    },
    ...SIGN_IN,
  });
}

function tokenToWire(token: Token): WireToken {
  const { kind, name, onlyProject, createdAtMs, expiresAtMs, lastUsedAtMs } = token;
  return {
    id: hexToBytes(token.id),
    kind,
    name,
    scope: scopeToWire(token.scope),
    project: onlyProject === undefined ? EMPTY_BYTES : hexToBytes(onlyProject),
    createdAtMs: BigInt(createdAtMs),
    expiresAtMs: BigInt(expiresAtMs ?? 0),
    lastUsedAtMs: BigInt(lastUsedAtMs ?? 0),
  };
}

function givenToken({ scope }: Principal): WireToken {
  return {
    id: EMPTY_BYTES,
    kind: "personal",
    name: "MIC_OWNER_TOKEN",
    scope: scopeToWire(scope),
    project: EMPTY_BYTES,
    createdAtMs: 0n,
    expiresAtMs: 0n,
    lastUsedAtMs: 0n,
  };
}
