/** `mic project webhook …`: what is told of a project's landings and sessions. */
import { type Command, InvalidArgumentError } from "commander";
import { MicError } from "../../core/base/errors.ts";
import { systemClock } from "../../core/base/system.ts";
import {
  type DeliveryDocument,
  WEBHOOK_EVENTS,
  type WebhookChange,
  WebhookClient,
  type WebhookDocument,
} from "../account/webhook-client.ts";
import { chooseProject } from "../choose-forge.ts";
import type { Bind } from "../command-definition.ts";
import { EXIT_FAILED, EXIT_OK, usageError } from "../errors.ts";
import type { Invocation } from "../invocation.ts";
import { formatMinute } from "../render/time.ts";
import { isServerUrl } from "../server-url.ts";
import { escapeLine, padEnd } from "../text.ts";

interface ProjectOptions {
  readonly project?: string;
}

interface EventOptions {
  readonly event?: readonly string[];
}

interface UpdateOptions extends ProjectOptions, EventOptions {
  readonly url?: string;
  readonly pause?: boolean;
  readonly resume?: boolean;
  readonly newSecret?: boolean;
}

interface ListOptions extends ProjectOptions {
  readonly n: number;
}

const PROJECT_OPTION = ["--project <address>", "of this project (default: the workspace's)"] as const;
const DELIVERIES_DEFAULT = 20;
const DELIVERIES_MAX = 1000;
const ID = /^[0-9a-f]{32}$/;
const PREFIX = /^[0-9a-f]{4,31}$/;
/** A server gives an attempt 10 s. */
const WAIT_MS_MAX = 15_000;
const WAIT_MS = 250;

export function defineProjectWebhook(project: Command, bind: Bind): void {
  const command = project.command("webhook").description("addresses that are told of landings and sessions");
  command
    .command("add <url>")
    .description("tell an address of what happens from now on; prints the secret once")
    .option(...eventOption("what it is told, repeatable (default: landing.created)"))
    .option(...PROJECT_OPTION)
    .action(bind(add));
  command
    .command("list")
    .description("list the project's webhooks")
    .option(...PROJECT_OPTION)
    .action(bind(list));
  command
    .command("update <webhook>")
    .description("change a webhook; the first digits of its id will do")
    .option("--url <url>", "another address")
    .option(...eventOption("what it is told, repeatable"))
    .option("--pause", "tell it nothing for now")
    .option("--resume", "go on, with what happened since")
    .option("--new-secret", "print another secret; the one before also signs for a day")
    .option(...PROJECT_OPTION)
    .action(bind(update));
  command
    .command("remove <webhook>")
    .description("remove a webhook, with what waits for it")
    .option(...PROJECT_OPTION)
    .action(bind(remove));
  command
    .command("ping <webhook>")
    .description("send a message of type `ping`, and say what came of it")
    .option(...PROJECT_OPTION)
    .action(bind(ping));
  command
    .command("deliveries <webhook>")
    .description("what was sent and what waits, newest first")
    .option("-n <count>", "at most so many", parseCount, DELIVERIES_DEFAULT)
    .option(...PROJECT_OPTION)
    .action(bind(deliveries));
  command
    .command("redeliver <webhook> <delivery>")
    .description("send the same message again, and say what came of it")
    .option(...PROJECT_OPTION)
    .action(bind(redeliver));
}

function eventOption(text: string) {
  return ["--event <name>", text, takeEvent] as const;
}

function takeEvent(name: string, before: readonly string[] = []): readonly string[] {
  if ((WEBHOOK_EVENTS as readonly string[]).includes(name)) return [...before, name];
  throw new InvalidArgumentError(`It must be one of ${WEBHOOK_EVENTS.join(", ")}.`);
}

async function add(
  invocation: Invocation,
  url: string,
  options: ProjectOptions & EventOptions,
): Promise<void> {
  const client = await openClient(invocation, options);
  const made = await client.create(url, options.event ?? ["landing.created"]);
  invocation.output.answer(made, () =>
    [`${made.id} tells ${escapeLine(made.url)}`, ...secretOf(made)].join("\n"),
  );
}

async function list(invocation: Invocation, options: ProjectOptions): Promise<void> {
  const webhooks = await (await openClient(invocation, options)).list();
  invocation.output.answer({ webhooks }, () => webhooks.map(renderWebhook).join("\n"));
  if (webhooks.length === 0) invocation.output.note("no webhooks");
}

async function update(invocation: Invocation, webhook: string, options: UpdateOptions): Promise<void> {
  const { url, event, pause, resume, newSecret } = options;
  if (pause === true && resume === true) throw usageError("--pause and --resume exclude each other");
  const change: WebhookChange = {
    ...(url === undefined ? {} : { url }),
    ...(event === undefined ? {} : { events: event }),
    ...(pause === true ? { active: false } : {}),
    ...(resume === true ? { active: true } : {}),
    ...(newSecret === true ? { newSecret } : {}),
  };
  if (Object.keys(change).length === 0) {
    throw usageError("nothing to change", "give --url, --event, --pause, --resume or --new-secret");
  }
  const client = await openClient(invocation, options);
  const changed = await client.change(await findWebhook(client, webhook), change);
  invocation.output.answer(changed, () => [renderWebhook(changed), ...secretOf(changed)].join("\n"));
}

async function remove(invocation: Invocation, webhook: string, options: ProjectOptions): Promise<void> {
  const client = await openClient(invocation, options);
  const id = await findWebhook(client, webhook);
  await client.remove(id);
  invocation.output.answer({ id, removed: true }, () => `${id} is removed`);
}

async function ping(invocation: Invocation, webhook: string, options: ProjectOptions): Promise<number> {
  const client = await openClient(invocation, options);
  const id = await findWebhook(client, webhook);
  return await tell(invocation, client, id, await client.ping(id));
}

async function redeliver(
  invocation: Invocation,
  webhook: string,
  delivery: string,
  options: ProjectOptions,
): Promise<number> {
  if (!ID.test(delivery))
    throw usageError(`${delivery} is not a delivery`, "see `mic project webhook deliveries`");
  const client = await openClient(invocation, options);
  const id = await findWebhook(client, webhook);
  return await tell(invocation, client, id, await client.redeliver(id, delivery));
}

async function deliveries(invocation: Invocation, webhook: string, options: ListOptions): Promise<void> {
  const { output } = invocation;
  const client = await openClient(invocation, options);
  const id = await findWebhook(client, webhook);
  output.page();
  let count = 0;
  for await (const delivery of client.deliveries(id, options.n)) {
    count++;
    output.answer(delivery, () => renderDelivery(delivery));
    await output.settle();
  }
  if (count === 0) output.note("nothing was sent yet");
}

/** Exit code 1 when the receiver did not take it. */
async function tell(
  invocation: Invocation,
  client: WebhookClient,
  webhook: string,
  sent: DeliveryDocument,
): Promise<number> {
  let delivery = sent;
  for (let waitedMs = 0; delivery.state === "pending" && waitedMs < WAIT_MS_MAX; waitedMs += WAIT_MS) {
    await systemClock.sleep(WAIT_MS, invocation.signal);
    delivery = await client.delivery(webhook, sent.id);
  }
  invocation.output.answer(delivery, () => renderDelivery(delivery));
  return delivery.state === "failed" ? EXIT_FAILED : EXIT_OK;
}

async function openClient(
  invocation: Invocation,
  { project: address }: ProjectOptions,
): Promise<WebhookClient> {
  const { forge, project } = await chooseProject(invocation, address);
  if (!isServerUrl(forge.address)) {
    throw usageError(`${forge.address} has no webhooks`, "a server tells of landings: `mic serve`");
  }
  const found = await invocation.findToken(forge.address);
  return new WebhookClient({
    rest: await invocation.openRest(forge.address),
    token: found?.token,
    project: project.id,
    signal: invocation.signal,
  });
}

/** An id, from its first digits. Errors: `usage`, `not-found`. */
async function findWebhook(client: WebhookClient, text: string): Promise<string> {
  if (ID.test(text)) return text;
  if (!PREFIX.test(text)) throw usageError(`${text} is not a webhook`, "see `mic project webhook list`");
  const found = (await client.list()).filter(({ id }) => id.startsWith(text));
  if (found.length === 1) return found[0]!.id;
  throw new MicError(
    "not-found",
    `${found.length === 0 ? "no webhook begins" : "several webhooks begin"} with ${text}`,
    {
      hint: "see `mic project webhook list`",
    },
  );
}

function secretOf({ secret }: WebhookDocument): readonly string[] {
  return secret === undefined
    ? []
    : ["the secret is shown this once; receivers check signatures with it:", `  ${secret}`];
}

function renderWebhook({ id, url, events, active, stoppedBecause }: WebhookDocument): string {
  const because = stoppedBecause === undefined ? "" : `  ${escapeLine(stoppedBecause)}`;
  return `${id}  ${padEnd(active ? "active" : "paused", 6)}  ${escapeLine(url)}  ${events.join(",")}${because}`;
}

function renderDelivery(delivery: DeliveryDocument): string {
  const { id, createdAt, state, event, kind, status, error, attempts, nextAttemptAt } = delivery;
  const answer = status === undefined ? "" : `  ${status}`;
  const again = nextAttemptAt === undefined || attempts === 0 ? "" : `  next ${minuteOf(nextAttemptAt)}`;
  const why = error === undefined || status !== undefined ? "" : `  ${escapeLine(error)}`;
  const what = kind === "redelivery" ? `${event} (again)` : event;
  return `${id}  ${minuteOf(createdAt)}  ${padEnd(state, 9)}  ${what}  ${attempts}×${answer}${why}${again}`;
}

function minuteOf(time: string): string {
  return formatMinute(Date.parse(time));
}

function parseCount(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= DELIVERIES_MAX) return count;
  throw new InvalidArgumentError(`It must be a number from 1 to ${DELIVERIES_MAX}.`);
}
