/**
 * /oauth/authorize: RFC 6749, 4.1, with PKCE (S256 only) and the issuer in the answer (RFC 9207). Approving always
 * takes a click: a program may be another one than last time.
 *
 * The way back is a page that goes on by itself, not a redirect: browsers hold redirects after a form to the page's
 * `form-action`, and those of the client's own site after them.
 */
import { type AuthCall, type Reply, record } from "../oauth/auth-call.ts";
import { matchesRedirect } from "../oauth/client-metadata.ts";
import { type Client, displayName } from "../oauth/clients.ts";
import { type Form, parseForm, readForm, required } from "../oauth/form.ts";
import { OAuthError } from "../oauth/oauth-error.ts";
import { isChallenge } from "../oauth/pkce.ts";
import { parseScope } from "../oauth/scopes.ts";
import type { Scope } from "../principal.ts";
import { html } from "./html.ts";
import { formField, outcome, pageReply } from "./layout.ts";
import { isReply, requireSession } from "./login-page.ts";
import { readScopeChoice, scopeChoice } from "./scope-choice.ts";

const QUERY_CHARACTERS_MAX = 6_144;

/** Who asks, and where the answer goes: known before anything is sent there. */
interface Asker {
  readonly client: Client;
  readonly redirectUri: string;
  readonly state: string | undefined;
}

interface Question extends Asker {
  readonly challenge: string;
  readonly scope: Scope;
}

export async function showAuthorize(call: AuthCall): Promise<Reply> {
  const form = readQuery(call.query);
  const asker = await readAsker(call, form);
  const question = readQuestion(call, asker, form);
  if (question instanceof OAuthError) return goBack(call, asker, { error: question });
  const session = requireSession(call, form);
  if (isReply(session)) return session;
  const { client, redirectUri, scope } = question;
  const name = displayName(client);
  return pageReply(call, {
    title: "Approve a program",
    session,
    body: html`<h1>Approve access as ${session.user.name}?</h1>
<p class="faint">${client.origin === "registered" ? "The name is what the program calls itself. " : ""}Approve only if you started it yourself.</p>
<dl>
<dt>Program</dt><dd>${name}</dd>
<dt>Answer goes to</dt><dd>${placeOf(redirectUri)}</dd>
</dl>
<form method="post" action="/oauth/authorize">
${formField("csrf", session.csrf)}${formField("request", call.query)}
${scopeChoice(scope)}
<div class="buttons">
<button name="decision" value="deny">Deny</button>
<button class="primary" name="decision" value="approve">Approve</button>
</div>
</form>`,
  });
}

export async function decideAuthorize(call: AuthCall): Promise<Reply> {
  const { services } = call;
  const sent = await readForm(call.request);
  const form = readQuery(sent.get("request") ?? "");
  const session = requireSession(call, form);
  if (isReply(session)) return session;
  services.sessions.checkForm(sent, session.csrf, call.request, call.origin);
  const asker = await readAsker(call, form);
  const question = readQuestion(call, asker, form);
  if (question instanceof OAuthError) return goBack(call, asker, { error: question });
  const { client, redirectUri, challenge } = question;
  const { user, tokenId } = session;
  const target = `client:${client.id}`;
  if (sent.get("decision") !== "approve") {
    record(call, user, "client.denied", target, {}, tokenId);
    return goBack(call, asker, { error: new OAuthError("access_denied", "the user said no") });
  }
  const scope = readScopeChoice(sent, question.scope);
  const code = services.codes.create({
    client: client.id,
    clientName: displayName(client),
    redirectUri,
    challenge,
    scope,
    user: user.id,
  });
  record(call, user, "client.approved", target, { scope }, tokenId);
  return goBack(call, asker, { code });
}

function readQuery(text: string): Form {
  if (text.length > QUERY_CHARACTERS_MAX) throw new OAuthError("invalid_request", "the request is too long");
  return parseForm(text);
}

/** What fails here is shown and sent nowhere: the address may be an attacker's. Errors: `OAuthError`. */
async function readAsker(call: AuthCall, form: Form): Promise<Asker> {
  const client = await call.services.clients.find(required(form, "client_id"), call.address);
  const redirectUri = required(form, "redirect_uri");
  if (!matchesRedirect(client.redirectUris, redirectUri)) {
    throw new OAuthError("invalid_request", "the redirect address is not one of the program's");
  }
  return { client, redirectUri, state: form.get("state") };
}

function readQuestion(call: AuthCall, asker: Asker, form: Form): Question | OAuthError {
  try {
    if (!asker.client.grantTypes.includes("authorization_code")) {
      throw new OAuthError("unauthorized_client", "the client has not registered for this");
    }
    if (required(form, "response_type") !== "code") {
      throw new OAuthError("unsupported_response_type", "the only response type is code");
    }
    const challenge = required(form, "code_challenge");
    if (form.get("code_challenge_method") !== "S256" || !isChallenge(challenge)) {
      throw new OAuthError("invalid_request", "code_challenge must be S256");
    }
    checkResource(form.get("resource"), call.origin);
    return { ...asker, challenge, scope: parseScope(form.get("scope")) };
  } catch (error) {
    if (error instanceof OAuthError) return error;
    throw error;
  }
}

/** RFC 8707: this server is the only resource it gives tokens for. Errors: `invalid_target`. */
function checkResource(resource: string | undefined, origin: string): void {
  if (resource === undefined || (URL.canParse(resource) && new URL(resource).origin === origin)) return;
  throw new OAuthError("invalid_target", "tokens are given for this server only");
}

function goBack(
  call: AuthCall,
  { client, redirectUri, state }: Asker,
  answer: { readonly code: string } | { readonly error: OAuthError },
): Reply {
  const isGood = "code" in answer;
  const values: [string, string][] = isGood
    ? [["code", answer.code]]
    : [
        ["error", answer.error.oauth],
        ["error_description", answer.error.message],
      ];
  if (state !== undefined) values.push(["state", state]);
  values.push(["iss", call.origin]);
  const mark = redirectUri.includes("?") ? "&" : "?";
  const to = `${redirectUri}${mark}${new URLSearchParams(values)}`;
  return pageReply(call, {
    title: isGood ? "Approved" : "Not approved",
    goTo: to,
    body: html`${
      isGood
        ? outcome(true, "Approved", `Going back to ${displayName(client)}.`)
        : outcome(false, "Not approved", `Going back to ${displayName(client)}: ${answer.error.message}.`)
    }<p><a href="${to}" rel="noreferrer">Go on</a> if nothing happens.</p>`,
  });
}

/** What somebody can judge of an address. */
function placeOf(redirectUri: string): string {
  const url = new URL(redirectUri);
  if (url.protocol === "https:") return url.host;
  return url.protocol === "http:"
    ? `a program on this computer (${url.host})`
    : `the program for ${url.protocol}`;
}
