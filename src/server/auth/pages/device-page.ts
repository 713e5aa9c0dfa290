/** /device: where a user code is typed in, looked at, and approved or denied (RFC 8628, 3.3). */
import { type AuthCall, type Reply, record } from "../oauth/auth-call.ts";
import type { Device } from "../oauth/device-codes.ts";
import { parseForm, readForm } from "../oauth/form.ts";
import { html } from "./html.ts";
import { formField, outcome, pageReply, problem } from "./layout.ts";
import { isReply, requireSession, secondsOf, waitText } from "./login-page.ts";
import type { PageSession } from "./page-sessions.ts";
import { readScopeChoice, scopeChoice } from "./scope-choice.ts";

const NOT_WAITING = "This code is wrong, was used, or has expired. Check it, or start again for a new one.";

export function showDevice(call: AuthCall): Reply {
  const form = parseForm(call.query);
  const session = requireSession(call, form);
  if (isReply(session)) return session;
  const code = form.get("user_code");
  if (code === undefined) return entryPage(call, session);
  const found = lookUp(call, session, code);
  return isFound(found) ? approvalPage(call, session, found) : found;
}

export async function decideDevice(call: AuthCall): Promise<Reply> {
  const { services } = call;
  const form = await readForm(call.request);
  const session = requireSession(call, new Map());
  if (isReply(session)) return session;
  services.sessions.checkForm(form, session.csrf, call.request, call.origin);
  const found = lookUp(call, session, form.get("user_code") ?? "");
  if (!isFound(found)) return found;
  const { user, tokenId } = session;
  const isApproved = form.get("decision") === "approve";
  const scope = readScopeChoice(form, found.scope);
  if (!services.devices.decide(found.userCode, user.id, isApproved ? scope : "denied")) {
    return entryPage(call, session, { status: 404, code: found.userCode, text: NOT_WAITING });
  }
  record(
    call,
    user,
    isApproved ? "device.approved" : "device.denied",
    `client:${found.client}`,
    { deviceAddress: found.address, ...(isApproved ? { scope } : {}) },
    tokenId,
  );
  return pageReply(call, {
    title: isApproved ? "Approved" : "Denied",
    session,
    body: isApproved
      ? outcome(
          true,
          "Approved",
          `Go back to ${found.clientName}: it goes on by itself. You can close this page.`,
        )
      : outcome(
          false,
          "Denied",
          "The program got nothing. If you did not start it, somebody else may have: tell whoever runs this server.",
        ),
  });
}

/** Wrong codes are counted, so that nobody finds one by trying. */
function lookUp(call: AuthCall, session: PageSession, code: string): Device | Reply {
  const { services, address } = call;
  const wait = secondsOf(services.userCodeGuard.begin(session.user.id, address));
  if (wait !== undefined) {
    return entryPage(call, session, {
      status: 429,
      text: `Too many wrong codes. Try again in ${waitText(wait)}.`,
      headers: { "retry-after": String(wait) },
    });
  }
  const device = services.devices.find(code);
  if (device === undefined) {
    record(call, session.user, "device.refused", "device:?", { why: "no such code" }, session.tokenId);
    return entryPage(call, session, { status: 404, code, text: NOT_WAITING });
  }
  services.userCodeGuard.succeeded(session.user.id, address);
  return device;
}

function isFound(value: Device | Reply): value is Device {
  return "userCode" in value;
}

interface EntryPage {
  readonly status?: number;
  readonly code?: string;
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function entryPage(call: AuthCall, session: PageSession, page: EntryPage = {}): Reply {
  const { status = 200, code = "", text, headers = {} } = page;
  const invalid = text === undefined ? undefined : html` aria-invalid="true"`;
  return pageReply(call, {
    title: "Enter a code",
    status,
    session,
    headers,
    body: html`<h1>Enter the code</h1>
<p class="faint" id="about">The program that wants to sign in shows it: eight letters.</p>
${problem("problem", text)}
<form method="get" action="/device">
<label for="user_code">Code</label>
<input type="text" class="entry" id="user_code" name="user_code" value="${code.slice(0, 20)}" placeholder="XXXX-XXXX" autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="20" required autofocus aria-describedby="about${text === undefined ? "" : " problem"}"${invalid}>
<div class="buttons"><button class="primary">Continue</button></div>
</form>`,
  });
}

function approvalPage(call: AuthCall, session: PageSession, device: Device): Reply {
  const { clientName, userCode, scope, address, createdAtMs } = device;
  const minutes = Math.floor(Math.max(0, call.services.context.clock.nowMs() - createdAtMs) / 60_000);
  const ago =
    minutes === 0 ? "less than a minute ago" : minutes === 1 ? "a minute ago" : `${minutes} minutes ago`;
  return pageReply(call, {
    title: "Approve a sign-in",
    session,
    body: html`<h1>Approve access as ${session.user.name}?</h1>
<p class="faint">Approve only if you started it yourself, and the program shows this code:</p>
<p class="code">${userCode}</p>
<dl>
<dt>Program</dt><dd>${clientName}</dd>
<dt>Asked from</dt><dd>${address}</dd>
<dt>When</dt><dd>${ago}</dd>
</dl>
<form method="post" action="/device">
${formField("csrf", session.csrf)}${formField("user_code", userCode)}
${scopeChoice(scope)}
<div class="buttons">
<button name="decision" value="deny">Deny</button>
<button class="primary" name="decision" value="approve">Approve</button>
</div>
</form>`,
  });
}
