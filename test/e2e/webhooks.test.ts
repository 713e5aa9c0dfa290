/** Webhooks of a running server, to a receiver over a real network that knows only the specification. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RestClient } from "../support/rest-server.ts";
import { checkSignature } from "../support/webhook-receiver.ts";
import { Served } from "./served.ts";
import { type JsonDocument, World } from "./support.ts";

const TOKEN = "token-of-the-end-to-end-tests";

interface Message {
  readonly id: string;
  readonly body: JsonDocument;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly text: string;
}

class Receiver {
  readonly messages: Message[] = [];
  status = 200;
  #server: Server | undefined;

  async open(): Promise<string> {
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        const text = Buffer.concat(parts).toString();
        const headers = request.headers as Record<string, string>;
        this.messages.push({ id: headers["webhook-id"]!, body: JSON.parse(text), headers, text });
        response.writeHead(this.status);
        response.end("thank you");
      });
    });
    await new Promise<void>((resolve) => this.#server!.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hooks/key-of-the-path`;
  }

  close(): void {
    this.#server?.closeAllConnections();
    this.#server?.close();
  }
}

let world: World;
let server: Served | undefined;
let receiver: Receiver;
let url: string;

beforeAll(async () => {
  world = await World.create();
  receiver = new Receiver();
  url = await receiver.open();
});
afterAll(() => receiver.close());

async function start(args: readonly string[] = ["--allow-outbound", "127.0.0.1"]): Promise<void> {
  // The workspace knows the address of the first one.
  server = await Served.start(world, { args, port: server?.port ?? 0 });
}

/** Every answer is held to what its route declares. */
async function call(method: string, path: string, body?: unknown) {
  const headers = { authorization: `Bearer ${TOKEN}` };
  const reply = await new RestClient(server!.url).call(method, `/api/mic/projects/acme%2Fapp${path}`, {
    headers,
    ...(body === undefined ? {} : { body }),
  });
  return { status: reply.status, document: (reply.json ?? {}) as JsonDocument };
}

function environment(): Record<string, string> {
  return { MIC_TOKEN: TOKEN, MIC_SERVER: server!.url };
}

function land(goal: string): void {
  world.write(`app/${goal}.txt`, goal);
  world.ok(["land", goal], { in: "app", env: environment() });
}

async function until(holds: () => boolean, what: string, limitMs = 20_000): Promise<void> {
  const endAt = performance.now() + limitMs;
  while (!holds()) {
    if (performance.now() > endAt) throw new Error(`${what} did not happen\n${server!.log()}`);
    await delay(20);
  }
}

test("a server tells a receiver of landings, signed, again when asked, and after it was killed", async () => {
  await start();
  const env = environment();
  world.ok(["project", "create", `${server!.url}/acme/app`], { env });
  world.ok(["clone", `${server!.url}/acme/app`, "app"], { env });
  const created = await call("POST", "/webhooks", { url, events: ["landing.created"] });
  expect(created.status).toBe(201);
  const { id, secret } = created.document;
  expect((await call("GET", `/webhooks/${id}`)).document.secret).toBeUndefined();

  land("first");
  await until(() => receiver.messages.length === 1, "the first message");
  const [first] = receiver.messages;
  checkSignature(first!.headers, first!.text, secret, Date.now());
  expect(() => checkSignature(first!.headers, `${first!.text} `, secret, Date.now())).toThrow();
  expect(first!.body).toMatchObject({
    type: "landing.created",
    data: { project: { name: "acme/app" }, landing: { position: 1, goal: "first", changes: 1 } },
  });

  const listed = await call("GET", `/webhooks/${id}/deliveries`);
  expect(listed.document.items).toMatchObject([{ state: "delivered", status: 200, attempts: 1 }]);
  const again = await call("POST", `/webhooks/${id}/deliveries/${listed.document.items[0].id}/redeliver`);
  expect(again.status).toBe(202);
  await until(() => receiver.messages.length === 2, "the redelivery");
  expect(receiver.messages[1]!.id).toBe(first!.id);
  expect(receiver.messages[1]!.text).toBe(first!.text);
  expect((await call("POST", `/webhooks/${id}/ping`)).status).toBe(202);
  await until(() => receiver.messages.length === 3, "the ping");
  expect(receiver.messages[2]!.body.type).toBe("ping");

  receiver.status = 503;
  land("second");
  await until(() => receiver.messages.length === 4, "the attempt that fails");
  await until(() => server!.log().includes("webhook-attempt"), "the line in the log");
  await server!.end("SIGKILL");
  const before = server!.log();
  receiver.status = 200;
  await start();
  await until(() => receiver.messages.length === 5, "the attempt after the kill");
  expect(receiver.messages[4]!.id).toBe(receiver.messages[3]!.id);
  checkSignature(receiver.messages[4]!.headers, receiver.messages[4]!.text, secret, Date.now());
  const { document } = await call("GET", `/webhooks/${id}/deliveries?limit=1`);
  expect(document.items).toMatchObject([{ state: "delivered", event: "landing.created", attempts: 2 }]);

  const last = document.items[0].id;
  const one = await call("GET", `/webhooks/${id}/deliveries/${last}`);
  expect(one.document.payload).toEqual(receiver.messages[4]!.body);
  const changed = await call("PATCH", `/webhooks/${id}`, { events: ["session.landed"], newSecret: true });
  expect(changed.document).toMatchObject({ events: ["session.landed"], createdBy: "owner", position: 2 });
  expect(changed.document.secret).not.toBe(secret);
  expect((await call("GET", "/webhooks")).document.items.length).toBe(1);
  expect((await call("PATCH", `/webhooks/${id}`, { events: ["landing.created"] })).status).toBe(200);
  expect((await call("GET", `/webhooks/${"0".repeat(32)}`)).status).toBe(404);
  expect((await call("GET", `/webhooks/${id}/deliveries?after=x`)).status).toBe(400);

  for (const hidden of ["key-of-the-path", secret.slice(6), TOKEN]) {
    expect(before + server!.log()).not.toContain(hidden);
  }
  const metrics = await fetch(`${server!.url}/metrics`, { headers: { authorization: `Bearer ${TOKEN}` } });
  expect(await metrics.text()).toContain('mic_webhook_attempts_total{result="delivered"} 1');
  expect(await server!.end("SIGTERM")).toBe(0);
});

test("an address that is not public is refused, unless the operator allows it", async () => {
  await start([]);
  for (const address of [
    url,
    "http://169.254.169.254/latest/meta-data",
    "http://[::ffff:127.0.0.1]/",
    "http://localhost/",
  ]) {
    const refused = await call("POST", "/webhooks", { url: address });
    expect([address, refused.status, refused.document.code]).toEqual([address, 403, "forbidden"]);
  }
  // The one that was made while it was allowed is not asked any more either.
  const { length } = receiver.messages;
  land("third");
  await until(() => server!.log().includes("not a public address"), "the refusal");
  expect(receiver.messages.length).toBe(length);
  expect(await server!.end("SIGTERM")).toBe(0);
});

test("the command line makes, lists, tries and removes webhooks", async () => {
  await start();
  receiver.status = 200;
  const options = { in: "app", env: environment() };
  const made = world.json(
    ["project", "webhook", "add", "--event", "session.landed", "--event", "landing.created", `${url}-2`],
    options,
  );
  expect(made).toMatchObject({
    code: 0,
    document: { events: ["landing.created", "session.landed"], active: true },
  });
  expect(made.document.secret).toMatch(/^whsec_/);
  const { id } = made.document;
  expect(world.ok(["project", "webhook", "list"], options)).toContain(`${id}  active  ${url}-2`);

  const prefix = id.slice(0, 8);
  // While they run, this process must answer them.
  const webhook = (...args: string[]) => world.start(["project", "webhook", ...args], options);
  const good = await webhook("ping", prefix, "--json");
  expect(good.code).toBe(0);
  expect(JSON.parse(good.stdout)).toMatchObject({ state: "delivered", status: 200, event: "ping" });
  receiver.status = 500;
  const bad = await webhook("ping", prefix, "--json");
  expect(bad.code).toBe(1);
  expect(JSON.parse(bad.stdout)).toMatchObject({ state: "failed", status: 500 });
  receiver.status = 200;
  const listed = world.ok(["project", "webhook", "deliveries", prefix], options);
  expect(listed.split("\n")[0]).toMatch(/failed +ping {2}1× {2}500$/);
  const again = await webhook("redeliver", id, listed.slice(0, 32));
  expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining("ping (again)") });

  expect(world.ok(["project", "webhook", "update", prefix, "--pause"], options)).toContain("paused");
  expect(world.ok(["project", "webhook", "remove", id], options)).toContain("is removed");
  expect(world.run(["project", "webhook", "ping", id], options)).toMatchObject({ code: 1 });
  expect(world.run(["project", "webhook", "add", "--event", "push", url], options)).toMatchObject({
    code: 2,
  });
  const audit = await fetch(`${server!.url}/api/mic/audit?target=webhook%3A${id}`, {
    headers: { authorization: `Bearer ${TOKEN}` },
  });
  const entries = (await audit.json()) as { items: readonly { action: string }[] };
  expect(entries.items.map(({ action }) => action)).toEqual([
    "webhook.deleted",
    "webhook.updated",
    "webhook.created",
  ]);
  expect(JSON.stringify(entries)).not.toContain("key-of-the-path");
  expect(await server!.end("SIGTERM")).toBe(0);
});
