/** What every page has: its frame, its style, and headers that let it do nothing but show itself and send its form. */
import type { AuthCall, Reply } from "../oauth/auth-call.ts";
import { Html, html } from "./html.ts";
import type { PageSession } from "./page-sessions.ts";
import { STYLE, STYLE_SOURCE } from "./style.ts";

export interface Page {
  readonly title: string;
  readonly body: Html;
  /** Whose page it is; shows who is signed in, with a button that ends it. */
  readonly session?: PageSession | undefined;
  readonly status?: number;
  readonly cookies?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  /** The page goes there by itself. */
  readonly goTo?: string;
}

const SECURITY_HEADERS = {
  "content-security-policy": [
    "default-src 'none'",
    `style-src ${STYLE_SOURCE}`,
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join("; "),
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  // Not `no-referrer`: browsers would then send forms with `origin: null`.
  "referrer-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "cache-control": "no-store",
};

export function pageReply(call: Pick<AuthCall, "origin">, page: Page): Reply {
  const { title, body, session, status = 200, cookies = [], headers = {}, goTo } = page;
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
${goTo === undefined ? undefined : html`<meta http-equiv="refresh" content="0;url=${goTo}">`}
<title>${title} · mic</title>
${new Html(`<style>${STYLE}</style>`)}
</head>
<body>
<header>
<span class="mark">mic<span class="where">${new URL(call.origin).host}</span></span>
${session === undefined ? undefined : signOutForm(session)}
</header>
<main>
${body}
</main>
</body>
</html>
`;
  return {
    status,
    headers: {
      "content-type": "text/html; charset=utf-8",
      ...SECURITY_HEADERS,
      ...headers,
      ...(cookies.length === 0 ? {} : { "set-cookie": cookies }),
    },
    text: document.text,
  };
}

/** 303: the browser asks for `path` with GET. */
export function redirectReply(path: string, cookies: readonly string[] = []): Reply {
  return {
    status: 303,
    headers: {
      location: path,
      "cache-control": "no-store",
      "referrer-policy": "same-origin",
      ...(cookies.length === 0 ? {} : { "set-cookie": cookies }),
    },
    text: "",
  };
}

/** Announced to those who do not see it, and tied to the field that has it as `aria-describedby`. */
export function problem(id: string, text: string | undefined): Html | undefined {
  return text === undefined ? undefined : html`<p class="problem" id="${id}" role="alert">${text}</p>`;
}

export function formField(name: string, value: string): Html {
  return html`<input type="hidden" name="${name}" value="${value}">`;
}

const TICK = new Html(
  '<svg class="done" viewBox="0 0 44 44" fill="none" stroke="currentColor" stroke-width="3" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><circle cx="22" cy="22" r="19"/><path d="M14 22.5l5.5 5.5L30.5 17"/></svg>',
);
const CROSS = new Html(
  '<svg class="done not" viewBox="0 0 44 44" fill="none" stroke="currentColor" stroke-width="3" stroke-linecap="round" aria-hidden="true"><circle cx="22" cy="22" r="19"/><path d="M16 16l12 12M28 16L16 28"/></svg>',
);

/** The end of something: nothing is left to do here. */
export function outcome(isGood: boolean, title: string, text: string): Html {
  return html`${isGood ? TICK : CROSS}<h1>${title}</h1>${text === "" ? undefined : html`<p class="faint">${text}</p>`}`;
}

function signOutForm({ user, csrf }: PageSession): Html {
  return html`<form method="post" action="/logout">${formField("csrf", csrf)}<button class="link" aria-label="Sign out ${user.name}">${user.name} · sign out</button></form>`;
}
