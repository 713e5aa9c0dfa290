/** Users and their tokens, for administrators of the site. */
import { z } from "zod";
import { isMicError, MicError } from "../../../core/base/errors.ts";
import type { Forge } from "../../../core/forge/forge.ts";
import { revokeUserToken } from "../../auth/own-tokens.ts";
import * as shapes from "../account-documents.ts";
import { tokenDocument, userDocument } from "../account-documents.ts";
import { jsonAnswer } from "../answer.ts";
import * as parameters from "../parameters.ts";
import { defineRoute, type Route } from "../route.ts";
import { existingUser, record, tokenCall } from "./account-support.ts";
import { pageRequest } from "./support.ts";

const USERS = "/api/mic/users";
const tag = "users";
const NAME = { type: "string", description: "A user's name, address or id" };
const userParams = z.object({ user: parameters.parameter(NAME, z.string()) });

const createUserBody = z.strictObject({
  name: z.string().describe("Also the name of the organization that is the user's own"),
  email: z.string().optional(),
  password: z.string().optional().describe("At least 8 characters; absent: signs in with tokens only"),
  siteAdmin: z.boolean().default(false),
});
const updateUserBody = z.strictObject({
  disabled: z.boolean().optional(),
  siteAdmin: z.boolean().optional(),
  password: z.string().optional(),
  revokeTokens: z.literal(true).optional().describe("Ends all tokens of the user, personal ones too"),
});
const tokenParams = userParams.extend({ token: parameters.parameter(parameters.HEX_32, z.string()) });

export const userRoutes: readonly Route[] = [
  defineRoute(
    {
      method: "GET",
      path: USERS,
      id: "listUsers",
      tag,
      access: "site-admin",
      summary: "Users in the order of their names",
      query: z.strictObject({
        after: parameters.afterParameter,
        limit: parameters.limitParameter(100, 1000),
      }),
      answers: [{ status: 200, description: "A page", schema: shapes.userPage }],
    },
    ({ state, query }) => {
      const users = state.context.accounts.listUsers(pageRequest(query));
      const next = users.length < query.limit ? {} : { next: users.at(-1)!.name };
      return jsonAnswer(200, { items: users.map(userDocument), ...next });
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: USERS,
      id: "createUser",
      tag,
      access: "site-admin",
      changesAccounts: true,
      summary: "Creates a user",
      body: { kind: "json", schema: createUserBody },
      answers: [
        {
          status: 201,
          description: "The user",
          schema: shapes.userShape,
          headers: { location: "Where it is" },
        },
      ],
      errors: ["already-exists"],
    },
    async (call) => {
      const { name, email, password, siteAdmin } = call.body;
      await refuseOrganization(call.forge, name);
      const user = await call.state.context.accounts.createUser({
        name,
        isSiteAdmin: siteAdmin,
        ...(email === undefined ? {} : { email }),
        ...(password === undefined ? {} : { password }),
      });
      record(call, "user.created", `user:${user.name}`, { email, siteAdmin });
      return jsonAnswer(201, userDocument(user), { location: `${USERS}/${user.name}` });
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${USERS}/{user}`,
      id: "getUser",
      tag,
      access: "site-admin",
      summary: "A user",
      params: userParams,
      answers: [{ status: 200, description: "The user", schema: shapes.userShape }],
      errors: ["not-found"],
    },
    (call) => jsonAnswer(200, userDocument(existingUser(call, call.params.user))),
  ),
  defineRoute(
    {
      method: "PATCH",
      path: `${USERS}/{user}`,
      id: "updateUser",
      tag,
      access: "site-admin",
      changesAccounts: true,
      summary: "Disables or enables a user, makes it an administrator, sets its password, or ends its tokens",
      description:
        "Disabling ends what the user is doing. Sign-ins are gone for good; tokens that were made for scripts are " +
        "valid again once the user is enabled, unless `revokeTokens` ended them. A new password ends sign-ins too. " +
        "Of several changes all are made, or none.",
      params: userParams,
      body: { kind: "json", schema: updateUserBody },
      answers: [{ status: 200, description: "The user as it is now", schema: shapes.userShape }],
      errors: ["not-found"],
    },
    async (call) => {
      const { accounts, durability } = call.state.context;
      const { disabled, siteAdmin, password, revokeTokens } = call.body;
      const { id, name } = existingUser(call, call.params.user);
      const target = `user:${name}`;
      await accounts.changeUser(id, { disabled, siteAdmin, password, revokeTokens });
      if (password !== undefined) record(call, "password.reset", target);
      if (revokeTokens === true) record(call, "tokens.revoked", target);
      if (siteAdmin !== undefined) record(call, siteAdmin ? "user.promoted" : "user.demoted", target);
      if (disabled !== undefined) record(call, disabled ? "user.disabled" : "user.enabled", target);
      await durability.flushed();
      return jsonAnswer(200, userDocument(existingUser(call, id)));
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${USERS}/{user}/tokens`,
      id: "listUserTokens",
      tag,
      access: "site-admin",
      summary: "A user's tokens, newest first",
      params: userParams,
      answers: [{ status: 200, description: "All of them", schema: shapes.tokenPage }],
      errors: ["not-found"],
    },
    (call) => {
      const { id } = existingUser(call, call.params.user);
      return jsonAnswer(200, { items: call.state.context.accounts.listTokens(id).map(tokenDocument) });
    },
  ),
  defineRoute(
    {
      method: "DELETE",
      path: `${USERS}/{user}/tokens/{token}`,
      id: "revokeUserToken",
      tag,
      access: "site-admin",
      changesAccounts: true,
      summary: "Revokes one of a user's tokens, with all that come from the same sign-in",
      description: "Calls that are running with it end.",
      params: tokenParams,
      answers: [{ status: 204, description: "It is not valid any more, on any server" }],
      errors: ["not-found"],
    },
    async (call) => {
      await revokeUserToken(tokenCall(call), existingUser(call, call.params.user), call.params.token);
      return { kind: "empty", status: 204, headers: {} };
    },
  ),
];

/** A user owns the organization of its name: nobody comes by one in that way. */
async function refuseOrganization(forge: Forge, name: string): Promise<void> {
  try {
    await forge.getOrganization(name);
  } catch (error) {
    if (isMicError(error, "not-found")) return;
    throw error;
  }
  throw new MicError("already-exists", `there is an organization ${name}`, { hint: "choose another name" });
}
