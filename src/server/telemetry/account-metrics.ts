/** How signing in goes: counted where accounts are asked, whoever asks. */
import { isMicError } from "../../core/base/errors.ts";
import type { Accounts } from "../auth/accounts.ts";
import type { AuthDatabase } from "../auth/database/auth-database.ts";
import { Counter, type Metric, Readings } from "../metrics.ts";

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
    return rows.map(({ kind, count }) => ["", `kind="${kind}"`, count] as const);
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
