/**
 * Who is signed in at the pages, and whether a form is theirs. The session's cookie is a token of the kind `session`;
 * every form carries an HMAC of it, so that a page of another site cannot make one up (CSRF).
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { MicError } from "../../../core/base/errors.ts";
import type { Random } from "../../../core/base/random.ts";
import { HttpError } from "../../rest/problem.ts";
import type { Accounts, User } from "../accounts.ts";
import type { AuthDatabase } from "../database/auth-database.ts";
import type { Form } from "../oauth/form.ts";
import type { Origin } from "../oauth/origin.ts";

export const SESSION_MS = 12 * 3_600_000;
const KEY_NAME = "page-form-key";
const KEY_BYTES = 32;
const FORM_COOKIE_BYTES = 16;
const FORM_COOKIE = /^[A-Za-z0-9_-]{22}$/;

export interface PageSession {
  readonly user: User;
  readonly tokenId: string;
  /** For the forms of this session. */
  readonly csrf: string;
}

export interface PageSessionsOptions {
  readonly accounts: Pick<Accounts, "findToken" | "findUser" | "createToken" | "revokeToken">;
  readonly database: AuthDatabase;
  readonly random: Random;
  readonly nowMs: () => number;
}

/** The form of somebody who is not signed in yet belongs to a cookie of its own. */
export interface AnonymousForm {
  readonly csrf: string;
  /** To be set, where the browser has none. */
  readonly cookies: readonly string[];
}

export class PageSessions {
  readonly #options: PageSessionsOptions;
  #key: Buffer | undefined;

  constructor(options: PageSessionsOptions) {
    this.#options = options;
  }

  find(request: IncomingMessage, origin: Origin): PageSession | undefined {
    const secret = readCookie(request, cookieName("session", origin));
    if (secret === undefined) return undefined;
    const token = this.#options.accounts.findToken(secret, "session");
    const user = token === undefined ? undefined : this.#options.accounts.findUser(token.user);
    if (token === undefined || user === undefined || user.disabledAtMs !== undefined) return undefined;
    return { user, tokenId: token.id, csrf: this.#mac(`session ${token.id}`) };
  }

  /** The cookie of a new session. What was there before ends: a session that somebody else planted is of no use. */
  start(
    user: User,
    request: IncomingMessage,
    origin: Origin,
  ): { readonly cookies: readonly string[]; readonly tokenId: string } {
    const before = this.find(request, origin);
    if (before !== undefined) this.#options.accounts.revokeToken(before.tokenId);
    const { token, secret } = this.#options.accounts.createToken({
      user: user.id,
      kind: "session",
      name: "browser",
      scope: "admin",
      expiresAtMs: this.#options.nowMs() + SESSION_MS,
    });
    return {
      tokenId: token.id,
      cookies: [cookie("session", secret, origin, SESSION_MS / 1000)],
    };
  }

  /** The header that takes the cookie away. */
  end(session: PageSession | undefined, origin: Origin): readonly string[] {
    if (session !== undefined) this.#options.accounts.revokeToken(session.tokenId);
    return [cookie("session", "", origin, 0)];
  }

  anonymousForm(request: IncomingMessage, origin: Origin): AnonymousForm {
    const known = readCookie(request, cookieName("form", origin));
    if (known !== undefined && FORM_COOKIE.test(known))
      return { csrf: this.#mac(`form ${known}`), cookies: [] };
    const made = Buffer.from(this.#options.random.bytes(FORM_COOKIE_BYTES)).toString("base64url");
    return { csrf: this.#mac(`form ${made}`), cookies: [cookie("form", made, origin, SESSION_MS / 1000)] };
  }

  /** Errors: `forbidden` unless the form came from a page of ours that was shown to this browser. */
  checkForm(form: Form, expected: string, request: IncomingMessage, origin: Origin): void {
    checkSite(request, origin);
    const given = Buffer.from(form.get("csrf") ?? "");
    const wanted = Buffer.from(expected);
    if (given.length === wanted.length && timingSafeEqual(given, wanted)) return;
    throw new MicError("forbidden", "This form is no longer valid", {
      hint: "Go back, load the page again, and send it once more.",
    });
  }

  #mac(text: string): string {
    this.#key ??= this.#openKey();
    return createHmac("sha256", this.#key).update(text).digest("base64url");
  }

  #openKey(): Buffer {
    const { database, random } = this.#options;
    const read = (): Buffer | undefined =>
      database.sql
        .prepare<[string], { value: Buffer }>("SELECT value FROM settings WHERE name = ?")
        .get(KEY_NAME)?.value;
    const stored = read();
    if (stored !== undefined) return stored;
    // Another process may have been first.
    database.write((sql) =>
      sql
        .prepare("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .run(KEY_NAME, Buffer.from(random.bytes(KEY_BYTES))),
    );
    return read()!;
  }
}

/** Browsers say where a request comes from; one that says nothing has the form's token only. Errors: `forbidden`. */
export function checkSite(request: IncomingMessage, origin: Origin): void {
  const from = request.headers.origin;
  const site = request.headers["sec-fetch-site"];
  const isOurs = (from === undefined || from === origin) && (site === undefined || site === "same-origin");
  if (isOurs) return;
  throw new HttpError(403, "forbidden", "This request came from another site", {
    hint: `Open ${origin} yourself and try again.`,
  });
}

type CookieKind = "session" | "form";

/** With `__Host-` no other host and no path of this one can set it; browsers want TLS for it. */
function cookieName(kind: CookieKind, origin: Origin): string {
  return origin.startsWith("https:") ? `__Host-mic_${kind}` : `mic_${kind}`;
}

function cookie(kind: CookieKind, value: string, origin: Origin, seconds: number): string {
  const secure = origin.startsWith("https:") ? "; Secure" : "";
  return `${cookieName(kind, origin)}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure}`;
}

function readCookie(request: IncomingMessage, name: string): string | undefined {
  for (const part of (request.headers.cookie ?? "").split(";")) {
    const mark = part.indexOf("=");
    if (mark !== -1 && part.slice(0, mark).trim() === name) return part.slice(mark + 1).trim();
  }
  return undefined;
}
