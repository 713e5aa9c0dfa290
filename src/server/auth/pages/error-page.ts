/** What a browser is shown when something cannot be done. */
import { isMicError } from "../../../core/base/errors.ts";
import { httpStatusOf } from "../../http-status.ts";
import { HttpError } from "../../rest/problem.ts";
import type { AuthCall, Reply } from "../oauth/auth-call.ts";
import { OAuthError } from "../oauth/oauth-error.ts";
import { html } from "./html.ts";
import { outcome, pageReply } from "./layout.ts";

/** What is no `MicError` tells the reader nothing but that it was written down. */
export function errorPage(call: Pick<AuthCall, "origin">, error: unknown): Reply {
  const isKnown = isMicError(error) && error.code !== "internal";
  const status =
    error instanceof OAuthError || error instanceof HttpError
      ? error.status
      : isKnown
        ? httpStatusOf(error.code)
        : 500;
  const message = isKnown
    ? capitalized(error.message)
    : "Something went wrong here. It was written to the log.";
  const hint = isKnown ? error.hint : undefined;
  return pageReply(call, {
    title: "That did not work",
    status,
    headers: error instanceof HttpError ? error.headers : {},
    body: html`${outcome(false, "That did not work", "")}<p class="problem" role="alert">${message}.</p>${
      hint === undefined ? undefined : html`<p>${hint}</p>`
    }`,
  });
}

function capitalized(text: string): string {
  return (text.charAt(0).toUpperCase() + text.slice(1)).replace(/\.$/, "");
}
