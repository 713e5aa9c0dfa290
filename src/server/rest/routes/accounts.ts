/** The caller's own account: who it is, its tokens, its password. */
import { z } from "zod";
import { MicError } from "../../../core/base/errors.ts";
import type { Token, User } from "../../auth/accounts.ts";
import { createOwnToken, currentToken, revokeOwnToken } from "../../auth/own-tokens.ts";
import type { Principal } from "../../auth/principal.ts";
import * as shapes from "../account-documents.ts";
import { tokenDocument, userDocument } from "../account-documents.ts";
import { jsonAnswer } from "../answer.ts";
import type { JsonObject } from "../documents.ts";
import { HEX_32, parameter } from "../parameters.ts";
import { defineRoute, type Route } from "../route.ts";
import { record, tokenCall } from "./account-support.ts";

const ACCOUNT = "/api/mic/account";
const tag = "account";

const createTokenBody = z.strictObject({
  name: z.string().describe("Says what it is for"),
  scope: shapes.scope.default("write"),
  project: z.string().optional().describe("The only one that it is for, beside what is public: id or name"),
  expiresAt: z.iso.datetime({ offset: true }).optional().describe("Default: never"),
});
const passwordBody = z.strictObject({
  current: z.string().optional().describe("Where there is one"),
  password: z.string().describe("At least 8 characters"),
});
const tokenParams = z.object({ token: parameter(HEX_32, z.string()) });

export const accountRoutes: readonly Route[] = [
  defineRoute(
    {
      method: "GET",
      path: ACCOUNT,
      id: "getAccount",
      tag,
      access: "signed-in",
      summary: "Whose token this is",
      answers: [{ status: 200, description: "The user and the token", schema: shapes.accountShape }],
    },
    ({ state, principal }) => {
      const user = userOf(principal, state.context.accounts.findUser(principal.userId!));
      return jsonAnswer(200, {
        ...userDocument(user),
        token: ownTokenDocument(principal, currentToken({ context: state.context, principal })),
      });
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${ACCOUNT}/tokens`,
      id: "listTokens",
      tag,
      access: "account",
      summary: "The caller's tokens, newest first",
      answers: [{ status: 200, description: "All of them", schema: shapes.tokenPage }],
    },
    ({ state, principal }) => {
      const tokens = state.context.accounts.listTokens(principal.userId!);
      return jsonAnswer(200, { items: tokens.map(tokenDocument) });
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: `${ACCOUNT}/tokens`,
      id: "createToken",
      tag,
      access: "account",
      changesAccounts: true,
      summary: "Makes a token for scripts and agents",
      body: { kind: "json", schema: createTokenBody },
      answers: [{ status: 201, description: "The token", schema: shapes.newTokenShape }],
      errors: ["not-found"],
    },
    async (call) => {
      const { name, scope, project, expiresAt } = call.body;
      const { token, secret } = await createOwnToken(tokenCall(call), {
        name,
        scope,
        ...(project === undefined ? {} : { project: call.state.checkProject(project) }),
        ...(expiresAt === undefined ? {} : { expiresAtMs: Date.parse(expiresAt) }),
      });
      return jsonAnswer(201, { token: tokenDocument(token), secret }, { "cache-control": "no-store" });
    },
  ),
  defineRoute(
    {
      method: "DELETE",
      path: `${ACCOUNT}/tokens/{token}`,
      id: "revokeToken",
      tag,
      access: "account",
      changesAccounts: true,
      summary: "Revokes one of the caller's tokens, with all that come from the same sign-in",
      description: "Calls that are running with it end.",
      params: tokenParams,
      answers: [{ status: 204, description: "It is not valid any more, on any server" }],
      errors: ["not-found"],
    },
    async (call) => {
      await revokeOwnToken(tokenCall(call), call.params.token);
      return { kind: "empty", status: 204, headers: {} };
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: `${ACCOUNT}/password`,
      id: "setPassword",
      tag,
      access: "account",
      changesAccounts: true,
      summary: "Sets the caller's password",
      description:
        "Ends all that comes from signing in, this call's token included when it does; tokens that were made for scripts stay.",
      body: { kind: "json", schema: passwordBody },
      answers: [{ status: 204, description: "It is set" }],
      errors: ["rate-limited"],
    },
    async (call) => {
      const { accounts, durability } = call.state.context;
      const { principal, body } = call;
      const user = userOf(principal, accounts.findUser(principal.userId!));
      if (user.hasPassword) {
        // How often this is tried is counted by ../../network/gate.ts.
        const isRight = await accounts.checkPassword(user.name, body.current ?? "").then(
          () => true,
          (error: unknown) => {
            if (error instanceof MicError && error.code === "unauthenticated") return false;
            throw error;
          },
        );
        if (!isRight) {
          record(call, "password.refused", `user:${user.name}`);
          throw new MicError("forbidden", "the current password is another one");
        }
      }
      await accounts.setPassword(user.id, body.password);
      record(call, "password.changed", `user:${user.name}`);
      await durability.flushed();
      return { kind: "empty", status: 204, headers: {} };
    },
  ),
];

/** The owner token that the server was given is stored nowhere, and has no id. */
function ownTokenDocument({ scope }: Principal, token: Token | undefined): JsonObject {
  if (token !== undefined) return tokenDocument(token);
  return { id: "given", kind: "personal", name: "MIC_OWNER_TOKEN", scope };
}

/** It may have been disabled or replaced between the check of the token and now. */
function userOf(principal: Principal, user: User | undefined): User {
  if (user !== undefined) return user;
  throw new MicError("unauthenticated", `there is no user ${principal.account} any more`);
}
