/** Accounts and what hangs on them, opened in the order that a replica asks for, and closed in the other one. */
import type { Clock } from "../core/base/clock.ts";
import type { Random } from "../core/base/random.ts";
import type { Forge } from "../core/forge/forge.ts";
import { createAuthenticate } from "./auth/authenticate.ts";
import { Authorizer } from "./auth/authorizer.ts";
import { AuthDatabase } from "./auth/database/auth-database.ts";
import { LOCAL_DURABILITY } from "./auth/durability.ts";
import { OwnedProjects } from "./auth/owned-projects.ts";
import { accountsFile, checkOwnerToken, startOwner } from "./auth/owner-token.ts";
import type { PasswordHasher } from "./auth/password.ts";
import type { AccountsReplica } from "./auth/replica/accounts-replica.ts";
import { forwardKey } from "./auth/replica/forward-key.ts";
import { Forwarder } from "./auth/replica/forwarder.ts";
import { openReplica } from "./auth/replica/open-replica.ts";
import { SealedCursors } from "./auth/sealed-cursors.ts";
import { SqliteAccounts } from "./auth/sqlite-accounts.ts";
import { SqliteAudit } from "./auth/sqlite-audit.ts";
import { landingLogFile, SqliteLandingLog } from "./auth/sqlite-landing-log.ts";
import type { ServerContext, ServerLog } from "./context.ts";
import type { ServeOptions, ServeWorld } from "./serve-options.ts";

export interface OpenAccess {
  readonly options: ServeOptions;
  readonly env: ServeWorld["env"];
  /** Everything that callers do goes through it. */
  readonly forge: Forge;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ServerLog;
  /** Default: one at PASSWORD_COST. */
  readonly passwords?: PasswordHasher;
}

type AccessParts = Pick<
  ServerContext,
  "authenticate" | "accounts" | "authorizer" | "projects" | "audit" | "landingLog" | "durability"
>;

export interface OpenedAccess extends AsyncDisposable {
  readonly parts: AccessParts;
  readonly database: AuthDatabase;
  readonly accounts: SqliteAccounts;
  /** Undefined: the accounts are on this server alone. */
  readonly replica: AccountsReplica | undefined;
  readonly forwarder: Forwarder | undefined;
  /** The owner's token, when this start made it. */
  readonly newOwnerToken: string | undefined;
}

/** Errors: those of the auth database, of `openReplica`, and `usage` for an owner token that will not do. */
export async function openAccess(request: OpenAccess): Promise<OpenedAccess> {
  const { options, env, forge, clock, random, log } = request;
  const { dataDirectory, ownerToken } = options;
  if (ownerToken !== undefined) checkOwnerToken(ownerToken);
  await using cleanup = new AsyncDisposableStack();
  const file = accountsFile(dataDirectory);
  const replica =
    options.replica === undefined
      ? undefined
      : await openReplica({
          options: options.replica,
          file,
          probed: options.storage.origin.kind === "s3" ? options.storage.origin.settings : undefined,
          env,
          clock,
          random,
          log,
        });
  if (replica !== undefined) cleanup.use(replica);
  const database = cleanup.use(new AuthDatabase({ file }));
  if (replica !== undefined) {
    await replica.attach(database);
    // What was written last must be in the replica before the file is closed.
    cleanup.defer(() => replica.close());
  }
  const given = ownerToken === undefined ? {} : { ownerToken };
  const newOwnerToken = database.isReadOnly
    ? undefined
    : startOwner(database, { dataDirectory, clock, random, ...given });
  const accounts = cleanup.use(
    new SqliteAccounts({
      database,
      clock,
      random,
      ...given,
      ...(request.passwords === undefined ? {} : { passwords: request.passwords }),
      onFailure: (error) => log.error("accounts", { error }),
    }),
  );
  const landingLog = cleanup.use(
    new SqliteLandingLog({
      file: landingLogFile(file),
      clock,
      onFailure: (error, lost) => log.error("landing-log", { error, lost }),
    }),
  );
  const audit = new SqliteAudit({ database, clock, landings: landingLog });
  const key = (): Uint8Array | undefined => forwardKey(database, random);
  const authorizer = new Authorizer({ forge, accounts, clock, cursors: new SealedCursors(key) });
  const opened = cleanup.move();
  return {
    parts: {
      authenticate: createAuthenticate(accounts),
      accounts,
      authorizer,
      projects: new OwnedProjects({ forge, accounts, authorizer, audit }),
      audit,
      landingLog,
      durability: replica ?? LOCAL_DURABILITY,
    },
    database,
    accounts,
    replica,
    forwarder: replica === undefined ? undefined : new Forwarder({ replica, key, clock }),
    newOwnerToken,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
