/** How a page asks what a program may do: what it asked for is the most. */
import type { Form } from "../oauth/form.ts";
import { OAuthError } from "../oauth/oauth-error.ts";
import { isWithin, SCOPES, scopesUpTo } from "../oauth/scopes.ts";
import type { Scope } from "../principal.ts";
import { type Html, html } from "./html.ts";

const TEXT: Readonly<Record<Scope, readonly [title: string, more: string]>> = {
  read: ["Read", "See the projects that you can see."],
  write: ["Read and write", "Also land changes and create projects, as you."],
  admin: ["Everything you may do", "Also manage members, tokens and your account."],
};

export function scopeChoice(asked: Scope): Html {
  const choices = scopesUpTo(asked).map((scope) => {
    const [title, more] = TEXT[scope];
    const checked = scope === asked ? html` checked` : undefined;
    return html`<label class="choice"><input type="radio" name="scope" value="${scope}"${checked}><span>${title}<small>${more}</small></span></label>`;
  });
  return html`<fieldset><legend>It may</legend>${choices}</fieldset>`;
}

/** Errors: `invalid_scope`. */
export function readScopeChoice(form: Form, asked: Scope): Scope {
  const chosen = form.get("scope") as Scope | undefined;
  if (chosen === undefined) return asked;
  if (SCOPES.includes(chosen) && isWithin(chosen, asked)) return chosen;
  throw new OAuthError("invalid_scope", "the scope is more than what was asked for");
}
