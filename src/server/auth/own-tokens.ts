/** A caller's own tokens: what REST and gRPC have in common; and an administrator's hand on those of others. */
import { MicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import type { ServerContext } from "../context.ts";
import type { Token, User } from "./accounts.ts";
import { checkMinting } from "./minting.ts";
import type { Principal, Scope } from "./principal.ts";

/** Of one user, at a time: it keeps lists short, and a loop from filling the disk. */
export const PERSONAL_TOKENS_MAX = 1_000;

/** A call of somebody who has signed in, with a token of access `account`. */
export interface TokenCall {
  readonly context: Pick<ServerContext, "accounts" | "audit" | "authorizer" | "durability" | "forge">;
  readonly principal: Principal;
  readonly address: string;
}

export interface WantedOwnToken {
  readonly name: string;
  readonly scope: Scope;
  /** Id or name of one that the caller sees. */
  readonly project?: string;
  /** Unix milliseconds. */
  readonly expiresAtMs?: number;
}

/** The one that the call is made with; undefined for the owner token that the server was given. */
export function currentToken({ context, principal }: Omit<TokenCall, "address">): Token | undefined {
  const { tokenId } = principal;
  return tokenId === undefined ? undefined : context.accounts.getToken(tokenId);
}

/** Errors: `forbidden` for what is more than the caller's own, `not-found` for the project, `usage`, `too-large`. */
export async function createOwnToken(
  call: TokenCall,
  { name, scope, project, expiresAtMs }: WantedOwnToken,
): Promise<{ readonly token: Token; readonly secret: string }> {
  const { context, principal, address } = call;
  const { accounts, audit } = context;
  const user = principal.userId!;
  const onlyProject = project === undefined ? undefined : await seenProject(call, project);
  checkMinting(principal, currentToken(call)?.expiresAtMs, { scope, onlyProject, expiresAtMs });
  if (accounts.countPersonalTokens(user) >= PERSONAL_TOKENS_MAX) {
    throw new MicError("too-large", `there are ${PERSONAL_TOKENS_MAX} tokens already`, {
      hint: "revoke some: mic auth token list",
    });
  }
  const made = accounts.createToken({
    user,
    kind: "personal",
    name,
    scope,
    ...(onlyProject === undefined ? {} : { onlyProject }),
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
  });
  const expiresAt = expiresAtMs === undefined ? undefined : new Date(expiresAtMs).toISOString();
  const detail = { name, scope, project: onlyProject, expiresAt };
  audit.record({ principal, address, action: "token.created", target: `token:${made.token.id}`, detail });
  return made;
}

/** Returns once it is gone everywhere. Errors: `not-found`, also for another user's; those of `durability`. */
export async function revokeOwnToken(call: TokenCall, id: string): Promise<void> {
  const { userId, account: name } = call.principal;
  await revokeUserToken(call, { id: userId!, name }, id, "see: mic auth token list");
}

/** For administrators of the site. Returns once it is gone everywhere. Errors: as above. */
export async function revokeUserToken(
  { context, principal, address }: TokenCall,
  user: Pick<User, "id" | "name">,
  id: string,
  hint = `see: mic admin token list --user ${user.name}`,
): Promise<void> {
  const { accounts, audit, durability } = context;
  const token = accounts.getToken(id);
  if (token === undefined || token.user !== user.id) {
    throw new MicError("not-found", `there is no token ${JSON.stringify(id.slice(0, 100))}`, { hint });
  }
  accounts.revokeToken(id);
  const { name } = token;
  const detail = user.id === principal.userId ? { name } : { name, user: user.name };
  audit.record({ principal, address, action: "token.revoked", target: `token:${id}`, detail });
  await durability.flushed();
}

/** An administrator of the site may name any id: it must be there. */
async function seenProject({ context, principal }: TokenCall, text: string): Promise<ProjectId> {
  const id = await context.authorizer.project(principal, "project-read", text);
  return (await context.forge.getProject(id)).id;
}
