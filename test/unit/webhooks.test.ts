import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { mintSessionId } from "../../src/core/base/random.ts";
import { systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { notifyingForge } from "../../src/server/live/notifying-forge.ts";
import { POLL_MS } from "../../src/server/webhooks/project-feed.ts";
import { ATTEMPTS_MAX } from "../../src/server/webhooks/retry.ts";
import { LIST_MS } from "../../src/server/webhooks/session-finder.ts";
import { CHANGED_MS } from "../../src/server/webhooks/session-steps.ts";
import { mintWebhookSecret, signatureHeaders } from "../../src/server/webhooks/signature.ts";
import { stateOf, WEBHOOK_EVENTS, type WebhookEvent } from "../../src/server/webhooks/webhook.ts";
import { WebhookJob } from "../../src/server/webhooks/webhook-job.ts";
import { REMEMBERED_MAX, WebhookStore } from "../../src/server/webhooks/webhook-store.ts";
import { type MadeWebhook, Webhooks } from "../../src/server/webhooks/webhooks.ts";
import { TestProject } from "../support/forge-project.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { type Received, WebhookReceiver } from "../support/webhook-receiver.ts";

const USER = "00".repeat(16);
const HOUR_MS = 3_600_000;
const URL_A = "https://a.example/hook?key=of-the-path";
const URL_B = "https://b.example/hook";

let directory: string;
let clock: VirtualClock;
let store: MemoryStore;
let receiver: WebhookReceiver;
let database: AuthDatabase;
let server: OneServer;
let project: TestProject;
let log: string[];

/** What one `mic serve` runs of it. */
class OneServer {
  readonly forge: Forge;
  readonly job: WebhookJob;
  readonly webhooks: Webhooks;
  readonly store: WebhookStore;
  readonly results: string[] = [];

  constructor(backlogMax = 1000) {
    const base = openForge();
    this.store = new WebhookStore(database);
    this.job = new WebhookJob({
      store: this.store,
      forge: base,
      outbound: receiver,
      clock,
      random: systemRandom,
      log: { info: note, warn: note, error: note },
      userAgent: "mic/test",
      backlogMax,
      onAttempt: (result) => this.results.push(result),
      onStopped: () => undefined,
    });
    this.forge = notifyingForge(base, this.job);
    this.webhooks = new Webhooks({
      store: this.store,
      job: this.job,
      forge: base,
      outbound: receiver,
      clock,
      random: systemRandom,
    });
    this.job.start();
  }

  async stop(): Promise<void> {
    await clock.run(this.job[Symbol.asyncDispose]());
  }
}

function note(event: string, fields: Readonly<Record<string, unknown>> = {}): void {
  log.push(JSON.stringify({ event, ...fields }));
}

function openForge(): Forge {
  return new ForgeService({ store, address: "memory", clock, random: systemRandom, trustWriters: true });
}

beforeEach(async () => {
  directory = mkdtempSync(path.join(tmpdir(), "mic-webhooks-"));
  clock = new VirtualClock();
  store = new MemoryStore(clock);
  receiver = new WebhookReceiver(clock);
  log = [];
  database = new AuthDatabase({ file: path.join(directory, "accounts.db") });
  database.write((sql) =>
    sql.prepare("INSERT INTO users (id, name, created_at) VALUES (?, 'ada', 0)").run(USER),
  );
  server = new OneServer();
  project = await TestProject.create(server.forge, "acme/app");
});
afterEach(async () => {
  await server.stop();
  database[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

async function hook(
  url = URL_A,
  events: readonly WebhookEvent[] = ["landing.created"],
): Promise<MadeWebhook> {
  const made = await clock.run(server.webhooks.create(project.id, { url, events, createdBy: USER }));
  receiver.secrets.set(url, made.secret!);
  return made;
}

async function land(goal: string): Promise<void> {
  await clock.run(project.land({ goal, put: { [`${goal}.txt`]: goal } }));
}

/** Virtual time passes until it holds, at most so long. */
async function until(holds: () => boolean, limitMs = 48 * HOUR_MS): Promise<void> {
  const endMs = clock.nowMs() + limitMs;
  const wait = async (): Promise<void> => {
    while (!holds()) {
      if (clock.nowMs() > endMs)
        throw new Error(`it did not happen in time: ${log.slice(-5).join("\n")} ${server.results}`);
      await clock.sleep(limitMs > HOUR_MS ? 1_000 : 50);
    }
  };
  await clock.run(wait());
}

async function pass(durationMs: number): Promise<void> {
  await clock.run(clock.sleep(durationMs));
}

function sentTo(url: string): readonly Received[] {
  return receiver.received.filter((each) => each.url === url);
}

function goals(url = URL_A): readonly string[] {
  return sentTo(url).map(({ body }) => body.data.landing.goal);
}

describe("landings", () => {
  test("are told in order, signed, with the project and the landing's document", async () => {
    await land("before");
    await hook();
    for (const goal of ["one", "two", "three"]) await land(goal);
    await until(() => sentTo(URL_A).length === 3);
    expect(goals()).toEqual(["one", "two", "three"]);
    const [first] = sentTo(URL_A);
    expect(first!.body).toMatchObject({
      type: "landing.created",
      data: { project: { id: project.id, name: "acme/app" }, landing: { position: 2, changes: 1 } },
    });
    expect(first!.headers["content-type"]).toBe("application/json");
    expect(new Set(sentTo(URL_A).map(({ id }) => id)).size).toBe(3);
  });

  test("of other processes are told within the poll", async () => {
    await hook();
    const elsewhere = new TestProject(openForge(), project.id);
    await clock.run(elsewhere.land({ goal: "elsewhere", put: { a: "a" } }));
    const beforeMs = clock.nowMs();
    await until(() => sentTo(URL_A).length === 1, 10_000);
    expect(goals()).toEqual(["elsewhere"]);
    expect(clock.nowMs() - beforeMs).toBeLessThan(1.2 * POLL_MS);
  });

  test("that came while no server ran are made up for", async () => {
    await hook();
    await server.stop();
    const elsewhere = new TestProject(openForge(), project.id);
    for (const goal of ["one", "two"]) {
      await clock.run(elsewhere.land({ goal, put: { [goal]: goal } }));
    }
    server = new OneServer();
    await until(() => sentTo(URL_A).length === 2);
    expect(goals()).toEqual(["one", "two"]);
  });

  test("that are too many to make up for are counted as missed", async () => {
    await hook();
    await server.stop();
    const elsewhere = new TestProject(openForge(), project.id);
    for (let i = 1; i <= 15; i++)
      await clock.run(elsewhere.land({ goal: `landing-${i}`, put: { a: String(i) } }));
    server = new OneServer(10);
    await until(() => sentTo(URL_A).length === 10);
    expect(goals()[0]).toBe("landing-6");
    expect(sentTo(URL_A).map(({ body }) => body.data.missed)).toEqual([5, ...Array(9).fill(undefined)]);
  });

  test("are told to each webhook at its own pace: one that hangs holds up no other", async () => {
    await hook(URL_A);
    await hook(URL_B);
    receiver.reply = (url) => (url === URL_A ? { hangMs: 9_000, status: 500 } : 200);
    for (const goal of ["one", "two", "three"]) await land(goal);
    await until(() => sentTo(URL_B).length === 3, 5_000);
    expect(goals(URL_B)).toEqual(["one", "two", "three"]);
  });

  test("wait in the log, not in the database, while a receiver is away", async () => {
    const { webhook } = await hook();
    receiver.reply = () => "no connection";
    for (let i = 0; i < 130; i++) await land(`landing-${i}`);
    await pass(POLL_MS * 3);
    expect(server.store.countWaiting(webhook.id)).toBeLessThanOrEqual(100);
    receiver.reply = () => 200;
    await until(() => server.results.filter((result) => result === "delivered").length === 130);
    const told = sentTo(URL_A).map(({ body }) => body.data.landing.position);
    expect(told.slice(told.length - 129)).toEqual(Array.from({ length: 129 }, (_, i) => i + 2));
  });

  test("are told by the primary only: a server that is it no more stops, one that becomes it goes on", async () => {
    await hook();
    database.setReadOnly(true);
    await pass(5_000);
    const elsewhere = new TestProject(openForge(), project.id);
    await clock.run(elsewhere.land({ goal: "one", put: { a: "a" } }));
    await pass(HOUR_MS);
    expect(receiver.received).toEqual([]);
    database.setReadOnly(false);
    await until(() => sentTo(URL_A).length === 1, 10_000);
    expect(goals()).toEqual(["one"]);
  });

  test("of a project that is deleted stop its webhooks", async () => {
    const { webhook } = await hook();
    await clock.run(server.forge.deleteProject(project.id));
    await until(() => !server.webhooks.get(project.id, webhook.id).isActive);
    expect(server.webhooks.get(project.id, webhook.id).stoppedBecause).toBe("the project is gone");
  });
});

describe("attempts", () => {
  test("are made eight times in about a day, later messages wait, and then come", async () => {
    await hook();
    receiver.reply = (_url, count) => (count <= ATTEMPTS_MAX ? 503 : 200);
    await land("poison");
    await land("after");
    const startedMs = clock.nowMs();
    await until(() => goals().includes("after"));
    const sent = sentTo(URL_A);
    expect(goals()).toEqual([...Array.from({ length: ATTEMPTS_MAX }, () => "poison"), "after"]);
    expect(new Set(sent.slice(0, ATTEMPTS_MAX).map(({ id }) => id)).size).toBe(1);
    const dayMs = sent[ATTEMPTS_MAX - 1]!.atMs - startedMs;
    expect(dayMs).toBeGreaterThan(18 * HOUR_MS);
    expect(dayMs).toBeLessThan(30 * HOUR_MS);
    const waits = sent.slice(1, ATTEMPTS_MAX).map(({ atMs }, i) => atMs - sent[i]!.atMs);
    expect([...waits].sort((a, b) => a - b)).toEqual(waits);
  });

  test("go on after the server was killed in between, under the same id", async () => {
    await hook();
    receiver.reply = (_url, count) => (count <= 2 ? "no connection" : 200);
    await land("one");
    await until(() => sentTo(URL_A).length === 2);
    await server.stop();
    const { length } = sentTo(URL_A);
    await pass(HOUR_MS);
    expect(sentTo(URL_A).length).toBe(length);
    server = new OneServer();
    await until(() => server.results.includes("delivered"));
    expect(new Set(sentTo(URL_A).map(({ id }) => id)).size).toBe(1);
  });

  test("that a stop interrupts are made again", async () => {
    await hook();
    receiver.reply = () => ({ hangMs: 5_000, status: 200 });
    await land("one");
    await until(() => receiver.running === 1);
    await server.stop();
    receiver.reply = () => 200;
    server = new OneServer();
    await until(() => server.results.includes("delivered"));
    expect(goals()).toEqual(["one", "one"]);
  });

  test("wait as long as the receiver asks", async () => {
    await hook();
    receiver.reply = (_url, count) => (count === 1 ? { status: 429, retryAfter: "3600" } : 200);
    await land("one");
    await until(() => sentTo(URL_A).length === 2);
    const [first, second] = sentTo(URL_A);
    expect(second!.atMs - first!.atMs).toBeGreaterThanOrEqual(HOUR_MS);
  });

  test("end with 410: the webhook is stopped, and says why", async () => {
    const { webhook } = await hook();
    receiver.reply = () => 410;
    await land("one");
    await until(() => server.results.includes("gone"));
    expect(server.webhooks.get(project.id, webhook.id)).toMatchObject({
      isActive: false,
      stoppedBecause: "the receiver answered 410 Gone",
    });
    await land("two");
    await pass(HOUR_MS);
    expect(sentTo(URL_A).length).toBe(1);
  });

  test("that were given up three times in a row stop the webhook; awake again it goes on", async () => {
    const { webhook } = await hook();
    receiver.reply = () => 500;
    for (const goal of ["one", "two", "three", "four"]) await land(goal);
    for (const count of [1, 2, 3]) {
      await until(() => server.results.filter((result) => result === "retried").length === count, HOUR_MS);
      // Seven attempts later.
      database.sql.prepare("UPDATE deliveries SET attempts = ? WHERE attempts = 1").run(ATTEMPTS_MAX - 1);
    }
    await until(() => !server.webhooks.get(project.id, webhook.id).isActive);
    expect(server.results.filter((result) => result === "given-up").length).toBe(3);
    expect(server.webhooks.get(project.id, webhook.id).stoppedBecause).toContain("answered 500");
    receiver.reply = () => 200;
    await land("five");
    await clock.run(server.webhooks.change(project.id, webhook.id, { isActive: true }));
    await until(() => goals().includes("five"));
    expect(goals().slice(-2)).toEqual(["four", "five"]);
  });

  test("are not put off by a clock that was set back", async () => {
    const { webhook } = await hook();
    receiver.reply = (_url, count) => (count === 1 ? 500 : 200);
    await land("one");
    await until(() => server.results.includes("retried"));
    await server.stop();
    database.sql
      .prepare("UPDATE deliveries SET next_attempt_at = next_attempt_at + ?")
      .run(365 * 24 * HOUR_MS);
    server = new OneServer();
    await until(() => server.results.includes("delivered"), HOUR_MS);
    expect(server.store.countWaiting(webhook.id)).toBe(0);
  });

  test("say nothing of the address but where it leads, and nothing of secrets, in the log", async () => {
    const { secret } = await hook();
    receiver.reply = () => 500;
    await land("one");
    await until(() => server.results.length === 3);
    expect(log.join("\n")).toContain("https://a.example");
    expect(log.join("\n")).not.toContain("of-the-path");
    expect(log.join("\n")).not.toContain(secret!.slice(6));
  });
});

describe("deliveries", () => {
  test("are listed newest first, in pages, and the oldest forgotten", async () => {
    const { webhook } = await hook();
    const messages = Array.from({ length: REMEMBERED_MAX + 12 }, (_, i) => ({
      event: "landing.created" as const,
      key: String(i),
      payload: JSON.stringify({ data: { landing: { goal: `landing-${i}` } } }),
    }));
    server.store.addMessages(webhook, { messages }, clock.nowMs());
    server.job.kick(webhook.id);
    await until(() => server.results.length === REMEMBERED_MAX + 12);
    const seen: string[] = [];
    let before: number | undefined;
    do {
      const page = server.webhooks.listDeliveries(project.id, webhook.id, { before, limit: 90 });
      seen.push(...page.items.map(({ payload }) => JSON.parse(payload).data.landing.goal));
      before = page.next;
    } while (before !== undefined);
    expect(seen.length).toBe(REMEMBERED_MAX);
    expect(seen[0]).toBe(`landing-${REMEMBERED_MAX + 11}`);
    expect(seen.at(-1)).toBe("landing-12");
  });

  test("are sent again when somebody asks: the same message, at once, once", async () => {
    const { webhook } = await hook();
    await land("one");
    await until(() => server.results.includes("delivered"));
    const [first] = server.webhooks.listDeliveries(project.id, webhook.id, { limit: 10 }).items;
    receiver.reply = () => 500;
    const again = server.webhooks.redeliver(project.id, webhook.id, first!.id);
    expect(again.id).not.toBe(first!.id);
    await until(() => sentTo(URL_A).length === 2, 1_000);
    await pass(HOUR_MS);
    expect(sentTo(URL_A).map(({ id }) => id)).toEqual([first!.message, first!.message]);
    const settled = server.webhooks.getDelivery(project.id, webhook.id, again.id);
    expect(stateOf(settled)).toBe("failed");
    expect(settled).toMatchObject({ status: 500, attempts: 1, kind: "redelivery" });
  });

  test("of a ping come at once, past a message that waits", async () => {
    const { webhook } = await hook();
    receiver.reply = (_url, count) => (count === 1 ? 500 : 200);
    await land("one");
    await until(() => server.results.includes("retried"));
    await clock.run(server.webhooks.ping(project.id, webhook.id));
    await until(() => sentTo(URL_A).length === 2, 1_000);
    expect(sentTo(URL_A)[1]!.body).toMatchObject({ type: "ping", data: { webhook: webhook.id } });
  });

  test("are signed with the secret before as well, for a day", async () => {
    const { webhook, secret } = await hook();
    const changed = await clock.run(server.webhooks.change(project.id, webhook.id, { newSecret: true }));
    expect(changed.secret).toMatch(/^whsec_/);
    expect(changed.secret).not.toBe(secret);
    await land("one");
    await until(() => server.results.includes("delivered"));
    receiver.secrets.set(URL_A, changed.secret!);
    await land("two");
    await until(() => server.results.length === 2);
    const until24h = database.sql.prepare("SELECT previous_secret_until FROM webhooks").pluck().get();
    expect(until24h).toBeGreaterThan(clock.nowMs() + 23 * HOUR_MS);
    database.sql.prepare("UPDATE webhooks SET previous_secret_until = ?").run(clock.nowMs());
    await land("three");
    await until(() => server.results.length === 3);
    expect(sentTo(URL_A)[2]!.headers["webhook-signature"]!.split(" ").length).toBe(1);
  });

  test("leave the accounts as durable as they were", async () => {
    await hook();
    await land("one");
    await until(() => server.results.includes("delivered"));
    expect(database.sql.pragma("synchronous", { simple: true })).toBe(2);
  });

  test("go with their webhook", async () => {
    const { webhook } = await hook();
    await land("one");
    await until(() => server.results.includes("delivered"));
    server.webhooks.remove(project.id, webhook.id);
    expect(database.sql.prepare("SELECT count(*) FROM deliveries").pluck().get()).toBe(0);
    await land("two");
    await pass(HOUR_MS);
    expect(sentTo(URL_A).length).toBe(1);
    expect(() => server.webhooks.get(project.id, webhook.id)).toThrow("no such webhook");
  });
});

describe("sessions", () => {
  const types = (): readonly string[] => receiver.received.map(({ body }) => body.type);

  async function start(forge: Forge = server.forge, goal = "a goal") {
    return await clock.run(
      forge.startSession(project.id, { id: mintSessionId(systemRandom), goal, owner: "ada" }),
    );
  }

  test("are told from their start to their end", async () => {
    await hook(URL_A, WEBHOOK_EVENTS);
    const session = await start();
    await until(() => types().length === 1);
    await pass(CHANGED_MS);
    await clock.run(server.forge.recordDecision(project.id, session.id, "so be it"));
    await until(() => types().length === 2);
    await clock.run(server.forge.abandonSession(project.id, session.id));
    await until(() => types().length === 3);
    expect(types()).toEqual(["session.started", "session.changed", "session.abandoned"]);
    expect(receiver.received[1]!.body.data.session).toMatchObject({
      id: session.id,
      goal: "a goal",
      owner: "ada",
      state: "open",
      recorded: { decisions: 1 },
    });
  });

  test("that change all the time are told once in a while, the last change always", async () => {
    await hook(URL_A, ["session.changed"]);
    const session = await start();
    const startedMs = clock.nowMs();
    for (let i = 0; i < 60; i++) {
      await clock.run(server.forge.recordDecision(project.id, session.id, `decision ${i}`));
      await pass(500);
    }
    await pass(2 * CHANGED_MS);
    const passedMs = clock.nowMs() - startedMs;
    expect(types().length).toBeGreaterThan(2);
    expect(types().length).toBeLessThanOrEqual(passedMs / CHANGED_MS + 1);
    expect(receiver.received.at(-1)!.body.data.session.recorded.decisions).toBe(60);
  });

  test("that land are told by the log, also those without an object", async () => {
    await hook(URL_A, ["session.landed", "session.abandoned"]);
    await land("one");
    await until(() => types().length === 1);
    expect(receiver.received[0]!.body).toMatchObject({
      type: "session.landed",
      data: { session: { goal: "one", state: "landed", landedAt: 1 } },
    });
    await pass(2 * LIST_MS);
    expect(types()).toEqual(["session.landed"]);
  });

  test("of other processes are found by looking, and old ones are no news", async () => {
    const old = await start();
    await pass(1_000);
    await hook(URL_A, WEBHOOK_EVENTS);
    const elsewhere = openForge();
    const session = await start(elsewhere);
    await until(() => types().length === 1, 2 * LIST_MS);
    expect(receiver.received[0]!.body).toMatchObject({
      type: "session.started",
      data: { session: { id: session.id } },
    });
    await clock.run(elsewhere.abandonSession(project.id, session.id));
    await until(() => types().length === 2, 2 * LIST_MS);
    expect(types()[1]).toBe("session.abandoned");
    await pass(5 * LIST_MS);
    expect(receiver.received.every(({ body }) => body.data.session.id !== old.id)).toBe(true);
  });
});

describe("management", () => {
  test("refuses addresses that can never be asked, and too many webhooks", async () => {
    for (const url of [
      "ftp://a.example/",
      "https://user:word@a.example/",
      "//a.example",
      "https://a.example:25/",
    ]) {
      await expect(
        server.webhooks.create(project.id, { url, events: ["landing.created"], createdBy: USER }),
      ).rejects.toMatchObject({ code: "usage" });
    }
    for (let i = 0; i < 20; i++) await hook(`https://a.example/${i}`);
    await expect(hook("https://a.example/one-too-many")).rejects.toMatchObject({ code: "usage" });
  });

  test("shows a project's webhooks to nobody else", async () => {
    const { webhook } = await hook();
    const other = await TestProject.create(server.forge, "acme/other");
    expect(() => server.webhooks.get(other.id, webhook.id)).toThrow("no such webhook");
    expect(server.webhooks.list(other.id)).toEqual([]);
  });

  test("tells landings from the moment that they are asked for", async () => {
    const { webhook } = await hook(URL_A, ["session.abandoned"]);
    await land("before");
    await clock.run(server.webhooks.change(project.id, webhook.id, { events: ["landing.created"] }));
    await land("after");
    await until(() => sentTo(URL_A).length === 1);
    expect(goals()).toEqual(["after"]);
  });
});

test("the receiver of docs/webhooks.md takes what is signed, and nothing else", async () => {
  const text = readFileSync(path.join(import.meta.dirname, "../../docs/webhooks.md"), "utf8");
  const code = /```js\n([\s\S]*?)```/.exec(text)![1]!;
  const file = path.join(directory, "receiver.mjs");
  writeFileSync(file, code);
  const { isFromMic } = await import(file);
  const secret = mintWebhookSecret(systemRandom);
  const body = '{"type":"ping"}';
  const other = mintWebhookSecret(systemRandom);
  const headers = signatureHeaders({ id: "1", atMs: Date.now(), body }, [other, secret]);
  expect(isFromMic(headers, body, secret)).toBe(true);
  expect(isFromMic(headers, body, mintWebhookSecret(systemRandom))).toBe(false);
  expect(isFromMic(headers, `${body} `, secret)).toBe(false);
  const old = signatureHeaders({ id: "1", atMs: Date.now() - 301_000, body }, [secret]);
  expect(isFromMic(old, body, secret)).toBe(false);
});

test("a signature is the one of the specification's example", () => {
  // standard-webhooks.md, section "Signature scheme".
  const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  const message = {
    id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    atMs: 1_614_265_330_000,
    body: '{"test": 2432232314}',
  };
  expect(signatureHeaders(message, [secret])["webhook-signature"]).toBe(
    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  );
});
