/** /login and /logout. */
import { isMicError } from "../../../core/base/errors.ts";
import type { User } from "../accounts.ts";
import { type AuthCall, type Reply, record } from "../oauth/auth-call.ts";
import { type Form, parseForm, readForm } from "../oauth/form.ts";
import { html } from "./html.ts";
import { formField, outcome, pageReply, problem, redirectReply } from "./layout.ts";
import type { AnonymousForm, PageSession } from "./page-sessions.ts";

const NEXT_CHARACTERS_MAX = 8_192;
/** Of a name or an address. */
const LOGIN_CHARACTERS_MAX = 320;
export function loginPath(next: string): string {
  return `/login?next=${encodeURIComponent(next)}`;
}

/** A page of ours that needs somebody signed in; undefined for everything else that `next` could say. */
export function parseNext(text: string | undefined): string | undefined {
  if (text === undefined || text.length > NEXT_CHARACTERS_MAX) return undefined;
  return /^\/(?:device|oauth\/authorize)(?:\?[\x21-\x5b\x5d-\x7e]*)?$/.test(text) ? text : undefined;
}

export function showLogin(call: AuthCall): Reply {
  const { request, origin, services } = call;
  const next = parseNext(parseForm(call.query).get("next"));
  const session = services.sessions.find(request, origin);
  if (session === undefined) return loginPage(call, { next });
  if (next !== undefined) return redirectReply(next);
  return pageReply(call, {
    title: "Signed in",
    session,
    body: html`<h1>You are signed in</h1>
<p>As <strong>${session.user.name}</strong>. If a program shows you a code, enter it here.</p>
<p><a href="/device">Enter a code</a></p>`,
  });
}

export async function logIn(call: AuthCall): Promise<Reply> {
  const { request, origin, services, address } = call;
  const form = await readForm(request);
  const anonymous = services.sessions.anonymousForm(request, origin);
  services.sessions.checkForm(form, anonymous.csrf, request, origin);
  const next = parseNext(form.get("next"));
  const login = (form.get("login") ?? "").trim();
  const password = form.get("password") ?? "";
  const refuse = (status: number, text: string, headers: Readonly<Record<string, string>> = {}): Reply =>
    loginPage(call, { next, login, text, status, headers, anonymous });
  if (login === "" || password === "" || login.length > LOGIN_CHARACTERS_MAX) {
    return refuse(400, "Enter your name or e-mail address, and your password.");
  }
  // One account has one count, whatever it is called here.
  const account = services.context.accounts.findUser(login)?.id ?? login.toLowerCase();
  const wait = secondsOf(services.passwordGuard.begin(account, address));
  if (wait !== undefined) {
    const headers = { "retry-after": String(wait) };
    return refuse(429, `Too many attempts. Try again in ${waitText(wait)}.`, headers);
  }
  const user = await checkPassword(call, login, password);
  if (user === "busy") {
    services.passwordGuard.succeeded(account, address);
    return refuse(503, "The server is busy. Try again in a moment.", { "retry-after": "2" });
  }
  if (user === undefined) {
    // A name that nobody has may be a password in the wrong field: the audit log keeps none.
    const name = services.context.accounts.findUser(login)?.name ?? "?";
    record(call, undefined, "sign-in.refused", `user:${name}`, { why: "name or password" });
    return refuse(401, "The name or the password is wrong.");
  }
  services.passwordGuard.succeeded(account, address);
  const { cookies, tokenId } = services.sessions.start(user, request, origin);
  record(call, user, "sign-in.succeeded", `user:${user.name}`, {}, tokenId);
  return redirectReply(next ?? "/login", cookies);
}

export function showLogout(call: AuthCall): Reply {
  const session = call.services.sessions.find(call.request, call.origin);
  if (session === undefined) return redirectReply("/login");
  return pageReply(call, {
    title: "Sign out",
    body: html`<h1>Sign out?</h1>
<p>You are signed in as <strong>${session.user.name}</strong>. Programs that you approved stay signed in.</p>
<form method="post" action="/logout">${formField("csrf", session.csrf)}
<div class="buttons"><button class="primary">Sign out</button></div></form>`,
  });
}

export async function logOut(call: AuthCall): Promise<Reply> {
  const { request, origin, services } = call;
  const form = await readForm(request);
  const session = services.sessions.find(request, origin);
  if (session === undefined) return redirectReply("/login", services.sessions.end(undefined, origin));
  services.sessions.checkForm(form, session.csrf, request, origin);
  const cookies = services.sessions.end(session, origin);
  record(call, session.user, "sign-out.done", `user:${session.user.name}`, {}, session.tokenId);
  await services.context.durability.flushed();
  return pageReply(call, {
    title: "Signed out",
    cookies,
    body: html`${outcome(true, "You are signed out", "You can close this page.")}<p><a href="/login">Sign in again</a></p>`,
  });
}

/** The session of who asks, or the way to the login page and back here. */
export function requireSession(call: AuthCall, form: Form): PageSession | Reply {
  const session = call.services.sessions.find(call.request, call.origin);
  if (session !== undefined) return session;
  const path = call.request.url!.split("?", 1)[0]!;
  const query = new URLSearchParams([...form]).toString();
  return redirectReply(loginPath(parseNext(query === "" ? path : `${path}?${query}`) ?? path));
}

export function isReply(value: PageSession | Reply): value is Reply {
  return "status" in value;
}

interface LoginPage {
  readonly next: string | undefined;
  readonly login?: string;
  readonly text?: string;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly anonymous?: AnonymousForm;
}

function loginPage(call: AuthCall, page: LoginPage): Reply {
  const { next, login = "", text, status = 200, headers = {} } = page;
  const { csrf, cookies } = page.anonymous ?? call.services.sessions.anonymousForm(call.request, call.origin);
  const invalid = text === undefined ? undefined : html` aria-invalid="true" aria-describedby="problem"`;
  const focusName = login === "" ? html` autofocus` : undefined;
  const focusPassword = login === "" ? undefined : html` autofocus`;
  return pageReply(call, {
    title: "Sign in",
    status,
    headers,
    cookies,
    body: html`<h1>Sign in</h1>
${problem("problem", text)}
<form method="post" action="/login">
${formField("csrf", csrf)}${next === undefined ? undefined : formField("next", next)}
<label for="login">Name or e-mail</label>
<input type="text" id="login" name="login" value="${login}" autocomplete="username" autocapitalize="none" spellcheck="false" required${focusName}${invalid}>
<label for="password">Password</label>
<input type="password" id="password" name="password" autocomplete="current-password" required${focusPassword}${invalid}>
<div class="buttons"><button class="primary">Sign in</button></div>
</form>`,
  });
}

/** Undefined: wrong. */
async function checkPassword(
  call: AuthCall,
  login: string,
  password: string,
): Promise<User | "busy" | undefined> {
  try {
    return await call.services.context.accounts.checkPassword(login, password);
  } catch (error) {
    if (isMicError(error, "unauthenticated") || isMicError(error, "too-large")) return undefined;
    if (isMicError(error, "unreachable")) return "busy";
    throw error;
  }
}

/** Undefined: no wait. */
export function secondsOf(waitMs: number): number | undefined {
  return waitMs === 0 ? undefined : Math.ceil(waitMs / 1000);
}

export function waitText(seconds: number): string {
  if (seconds < 60) return seconds === 1 ? "a second" : `${seconds} seconds`;
  const minutes = Math.ceil(seconds / 60);
  return minutes === 1 ? "a minute" : `${minutes} minutes`;
}
