/** What signing in needs, made once for a server: its throttles count all callers, whichever way they come. */
import { PageSessions } from "../pages/page-sessions.ts";
import type { AuthServices } from "./auth-call.ts";
import { AuthorizationCodes } from "./authorization-codes.ts";
import { ClientDocuments } from "./client-documents.ts";
import { Clients } from "./clients.ts";
import { DeviceCodes } from "./device-codes.ts";
import { SignInGuard } from "./sign-in-guard.ts";
import { TokenPairs } from "./token-pairs.ts";

export function createAuthServices({
  context,
  database,
}: Pick<AuthServices, "context" | "database">): AuthServices {
  const { clock, random, network } = context;
  const pairs = new TokenPairs({ database, clock, random });
  const documents = new ClientDocuments(network.outbound, clock);
  return {
    context,
    database,
    pairs,
    clients: new Clients({ database, documents, clock, random }),
    devices: new DeviceCodes({ database, pairs, clock, random }),
    codes: new AuthorizationCodes({ database, pairs, clock, random }),
    sessions: new PageSessions({ accounts: context.accounts, database, random, nowMs: () => clock.nowMs() }),
    passwordGuard: new SignInGuard(clock),
    userCodeGuard: new SignInGuard(clock),
  };
}
