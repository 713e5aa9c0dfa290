/** How signing in goes: counted where accounts are asked, whoever asks. */
import { isMicError } from "../../core/base/errors.ts";
import type { Accounts, TokenKind } from "../auth/accounts.ts";
import type { AuthDatabase } from "../auth/database/auth-database.ts";
import type { AccountsReplica } from "../auth/replica/accounts-replica.ts";
import { Counter, Gauge, type Metric, Readings } from "../metrics.ts";

const TOKEN_KINDS: readonly TokenKind[] = ["personal", "access", "refresh", "session"];

/** Changes the methods of `accounts`, so that everyone who was given it is covered. */
export function countAccounts(
  accounts: Accounts,
  database: AuthDatabase,
  nowMs: () => number,
): readonly Metric[] {
  const signIns = new Counter("mic_sign_ins_total", "Passwords that were checked, by result");
  const refused = new Counter("mic_tokens_refused_total", "Calls with a token that is not valid");
  const authenticate = accounts.authenticate.bind(accounts);
  accounts.authenticate = (token) => {
    try {
      return authenticate(token);
    } catch (error) {
      if (isMicError(error, "unauthenticated")) refused.add(1);
      throw error;
    }
  };
  const checkPassword = accounts.checkPassword.bind(accounts);
  accounts.checkPassword = async (login, password) => {
    try {
      const user = await checkPassword(login, password);
      signIns.add(1, 'result="ok"');
      return user;
    } catch (error) {
      signIns.add(1, isMicError(error, "unauthenticated") ? 'result="refused"' : 'result="failed"');
      throw error;
    }
  };
  return [signIns, refused, tokenReadings(database, nowMs), userReadings(database)];
}

function tokenReadings(database: AuthDatabase, nowMs: () => number): Metric {
  const text =
    "SELECT kind, count(*) AS count FROM tokens WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?) GROUP BY kind";
  return new Readings("gauge", "mic_tokens", "Tokens that are valid, by kind", () => {
    const rows = database.prepare(text).all(nowMs()) as { readonly kind: string; readonly count: number }[];
    const counts = new Map(rows.map(({ kind, count }) => [kind, count]));
    return TOKEN_KINDS.map((kind) => ["", `kind="${kind}"`, counts.get(kind) ?? 0] as const);
  });
}

function userReadings(database: AuthDatabase): Metric {
  return new Readings("gauge", "mic_users", "Users, by state", () => {
    const count = (text: string): number => database.prepare(text).pluck().get() as number;
    return [
      ["", 'state="active"', count("SELECT count(*) FROM users WHERE disabled_at IS NULL")],
      ["", 'state="disabled"', count("SELECT count(*) FROM users WHERE disabled_at IS NOT NULL")],
    ] as const;
  });
}

/** Of the accounts' replica; times in seconds. */
export function replicaMetrics(replica: Pick<AccountsReplica, "status">): readonly Metric[] {
  return [
    new Readings("gauge", "mic_replica_role", "1 for the role that this server has now", () => {
      const { role } = replica.status();
      return ["primary", "follower"].map((each) => ["", `role="${each}"`, each === role ? 1 : 0] as const);
    }),
    new Gauge(
      "mic_replica_lag_seconds",
      "Age of the oldest change that the replica, or a follower, does not have",
      () => replica.status().lagMs / 1000,
    ),
    new Gauge("mic_replica_problem", "1 while something is wrong; /readyz?verbose says what", () =>
      replica.status().problem === undefined ? 0 : 1,
    ),
    new Gauge("mic_replica_generation", "Grows with every new primary", () => replica.status().generation),
    new Readings("counter", "mic_replica_restarts_total", "How often Litestream was started again", () => [
      ["", "", replica.status().restarts],
    ]),
  ];
}
