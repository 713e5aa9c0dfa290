/** A project's webhooks, for its owners: docs/webhooks.md. */
import { z } from "zod";
import type { ProjectId } from "../../../core/base/ids.ts";
import type { ServerContext } from "../../context.ts";
import { type Delivery, stateOf, WEBHOOK_EVENTS, type Webhook } from "../../webhooks/webhook.ts";
import type { Webhooks } from "../../webhooks/webhooks.ts";
import { jsonAnswer } from "../answer.ts";
import { type JsonObject, timeOf } from "../documents.ts";
import * as parameters from "../parameters.ts";
import { HttpError } from "../problem.ts";
import { type Call, defineRoute, type Route } from "../route.ts";
import * as shapes from "../schemas.ts";

const WEBHOOKS = "/api/mic/projects/{project}/webhooks";
const WEBHOOK = `${WEBHOOKS}/{webhook}`;
const DELIVERY = `${WEBHOOK}/deliveries/{delivery}`;
const tag = "webhooks";
/** Reading them is for owners, too: an address is often a secret. */
const access = "project-own";

/** What was just asked for elsewhere is not here yet: the server that delivers is asked. */
const FOLLOWED_LATE = true;

const WHERE = { location: "Where it is" };
const project = parameters.projectParameter;
const id = parameters.parameter(parameters.HEX_32, z.string().regex(/^[0-9a-f]{32}$/));
const webhookParams = z.object({ project, webhook: id });
const deliveryParams = z.object({ project, webhook: id, delivery: id });

const events = z.array(z.enum(WEBHOOK_EVENTS)).min(1).max(WEBHOOK_EVENTS.length);
const url = z.string().describe("`http(s)://…`, at most 2048 characters, without a user");
const createBody = z.strictObject({ url, events: events.default(["landing.created"]) });
const changeBody = z.strictObject({
  url: url.optional(),
  events: events.optional(),
  active: z
    .boolean()
    .optional()
    .describe("One that goes on is told what happened since, up to 1000 landings"),
  newSecret: z.literal(true).optional().describe("The secret before also signs for 24 hours"),
});

export const webhookRoutes: readonly Route[] = [
  defineRoute(
    {
      method: "GET",
      path: WEBHOOKS,
      id: "listWebhooks",
      tag,
      access,
      summary: "The project's webhooks, oldest first",
      params: z.object({ project }),
      answers: [{ status: 200, description: "All of them", schema: shapes.webhookList }],
      errors: ["not-found"],
    },
    async (call) => {
      const found = webhooksOf(call).list(await call.project());
      return jsonAnswer(200, { items: found.map((each) => webhookDocument(call.state.context, each)) });
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: WEBHOOKS,
      id: "createWebhook",
      tag,
      access,
      changesAccounts: true,
      summary: "Makes a webhook, which is told of what happens from now on",
      description: "The answer holds the secret that its messages are signed with: it is shown this once.",
      params: z.object({ project }),
      body: { kind: "json", schema: createBody },
      answers: [
        {
          status: 201,
          description: "The webhook, with its secret",
          schema: shapes.webhook,
          headers: WHERE,
        },
      ],
      errors: ["not-found"],
    },
    async (call) => {
      const at = await call.project();
      const { body, principal, state } = call;
      const made = await webhooksOf(call).create(at, { ...body, createdBy: principal.userId! });
      record(call, "webhook.created", at, made.webhook);
      const document = { ...webhookDocument(state.context, made.webhook), secret: made.secret };
      return jsonAnswer(201, document, {
        location: `/api/mic/projects/${at}/webhooks/${made.webhook.id}`,
        "cache-control": "no-store",
      });
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: WEBHOOK,
      id: "getWebhook",
      tag,
      access,
      summary: "A webhook",
      params: webhookParams,
      answers: [{ status: 200, description: "The webhook", schema: shapes.webhook }],
      errors: ["not-found"],
    },
    async (call) => {
      const found = webhooksOf(call).get(await call.project(), call.params.webhook);
      return jsonAnswer(200, webhookDocument(call.state.context, found));
    },
  ),
  defineRoute(
    {
      method: "PATCH",
      path: WEBHOOK,
      id: "updateWebhook",
      tag,
      access,
      changesAccounts: true,
      summary: "Changes a webhook's address or events, pauses or wakes it, or gives it another secret",
      params: webhookParams,
      body: { kind: "json", schema: changeBody },
      answers: [
        { status: 200, description: "The webhook; a new secret is shown this once", schema: shapes.webhook },
      ],
      errors: ["not-found"],
    },
    async (call) => {
      const at = await call.project();
      const { active, newSecret, ...rest } = call.body;
      const made = await webhooksOf(call).change(at, call.params.webhook, {
        ...(rest.url === undefined ? {} : { url: rest.url }),
        ...(rest.events === undefined ? {} : { events: rest.events }),
        ...(active === undefined ? {} : { isActive: active }),
        ...(newSecret === undefined ? {} : { newSecret }),
      });
      record(call, "webhook.updated", at, made.webhook, { changed: Object.keys(call.body) });
      const document = webhookDocument(call.state.context, made.webhook);
      return jsonAnswer(200, made.secret === undefined ? document : { ...document, secret: made.secret }, {
        "cache-control": "no-store",
      });
    },
  ),
  defineRoute(
    {
      method: "DELETE",
      path: WEBHOOK,
      id: "deleteWebhook",
      tag,
      access,
      changesAccounts: true,
      summary: "Removes a webhook, with what waits for it",
      params: webhookParams,
      answers: [{ status: 204, description: "It is gone" }],
      errors: ["not-found"],
    },
    async (call) => {
      const at = await call.project();
      const webhooks = webhooksOf(call);
      const webhook = webhooks.get(at, call.params.webhook);
      webhooks.remove(at, webhook.id);
      record(call, "webhook.deleted", at, webhook);
      return { kind: "empty", status: 204, headers: {} };
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: `${WEBHOOK}/ping`,
      id: "pingWebhook",
      tag,
      access,
      changesAccounts: true,
      summary: "Sends a message of type `ping`, at once and once",
      params: webhookParams,
      answers: [{ status: 202, description: "The delivery", schema: shapes.webhookDelivery, headers: WHERE }],
      errors: ["not-found", "pending"],
    },
    async (call) => {
      const at = await call.project();
      return accepted(at, await webhooksOf(call).ping(at, call.params.webhook));
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${WEBHOOK}/deliveries`,
      id: "listDeliveries",
      tag,
      access,
      changesAccounts: FOLLOWED_LATE,
      summary: "What was sent, and what waits, newest first",
      description: "The last 200 that are done are kept, for 30 days.",
      params: webhookParams,
      query: z.strictObject({
        after: parameters.afterParameter,
        limit: parameters.limitParameter(50, 200),
      }),
      answers: [{ status: 200, description: "A page", schema: shapes.webhookDeliveryPage }],
      errors: ["not-found"],
    },
    async (call) => {
      const { after, limit } = call.query;
      const found = webhooksOf(call).listDeliveries(await call.project(), call.params.webhook, {
        before: after === undefined ? undefined : pageNumber(after),
        limit,
      });
      return jsonAnswer(200, {
        items: found.items.map(deliveryDocument),
        ...(found.next === undefined ? {} : { next: String(found.next) }),
      });
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: DELIVERY,
      id: "getDelivery",
      tag,
      access,
      changesAccounts: FOLLOWED_LATE,
      summary: "A delivery, with the message as it is sent",
      params: deliveryParams,
      answers: [{ status: 200, description: "The delivery", schema: shapes.webhookDelivery }],
      errors: ["not-found"],
    },
    async (call) => {
      const { webhook, delivery } = call.params;
      const found = webhooksOf(call).getDelivery(await call.project(), webhook, delivery);
      return jsonAnswer(200, { ...deliveryDocument(found), payload: JSON.parse(found.payload) });
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: `${DELIVERY}/redeliver`,
      id: "redeliver",
      tag,
      access,
      changesAccounts: true,
      summary: "Sends the same message again, at once and once",
      description: "It keeps its `webhook-id`, so a receiver that has it can tell.",
      params: deliveryParams,
      answers: [{ status: 202, description: "The delivery", schema: shapes.webhookDelivery, headers: WHERE }],
      errors: ["not-found", "pending"],
    },
    async (call) => {
      const at = await call.project();
      const { webhook, delivery } = call.params;
      return accepted(at, webhooksOf(call).redeliver(at, webhook, delivery));
    },
  ),
];

type AnyCall = Call<unknown, unknown, unknown>;

/** Errors: `unsupported` where there are none. */
function webhooksOf(call: Pick<AnyCall, "state">): Webhooks {
  const { webhooks } = call.state.context;
  if (webhooks === undefined) throw new HttpError(501, "unsupported", "this server has no webhooks");
  return webhooks;
}

function record(
  call: Pick<AnyCall, "state" | "principal" | "request">,
  action: string,
  at: ProjectId,
  webhook: Webhook,
  detail: Readonly<Record<string, unknown>> = {},
): void {
  const { context } = call.state;
  context.audit.record({
    principal: call.principal,
    address: context.network.peerOf(call.request).address,
    action,
    target: `webhook:${webhook.id}`,
    // The path may be a secret.
    detail: { project: at, receiver: new URL(webhook.url).origin, events: webhook.events, ...detail },
  });
}

function accepted(at: ProjectId, delivery: Delivery) {
  return jsonAnswer(202, deliveryDocument(delivery), {
    location: `/api/mic/projects/${at}/webhooks/${delivery.webhook}/deliveries/${delivery.id}`,
  });
}

/** Errors: `usage`. */
function pageNumber(text: string): number {
  const number = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  throw new HttpError(400, "usage", `${JSON.stringify(text.slice(0, 100))} is not a page of deliveries`);
}

function webhookDocument({ accounts }: ServerContext, webhook: Webhook): JsonObject {
  const { createdBy, stoppedBecause } = webhook;
  return {
    id: webhook.id,
    url: webhook.url,
    events: webhook.events,
    active: webhook.isActive,
    ...(stoppedBecause === undefined ? {} : { stoppedBecause }),
    createdBy: accounts.findUser(createdBy)?.name ?? createdBy,
    createdAt: timeOf(webhook.createdAtMs),
    position: webhook.position,
  };
}

function deliveryDocument(delivery: Delivery): JsonObject {
  const { nextAttemptAtMs, status, error, durationMs, deliveredAtMs } = delivery;
  return {
    id: delivery.id,
    message: delivery.message,
    kind: delivery.kind,
    event: delivery.event,
    state: stateOf(delivery),
    createdAt: timeOf(delivery.createdAtMs),
    attempts: delivery.attempts,
    ...(nextAttemptAtMs === undefined ? {} : { nextAttemptAt: timeOf(nextAttemptAtMs) }),
    ...(status === undefined ? {} : { status }),
    ...(error === undefined ? {} : { error }),
    ...(durationMs === undefined ? {} : { durationMs }),
    ...(deliveredAtMs === undefined ? {} : { deliveredAt: timeOf(deliveredAtMs) }),
  };
}
