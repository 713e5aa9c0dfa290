import { connect, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TestProject } from "../support/forge-project.ts";
import { RestServer, TOKEN } from "../support/rest-server.ts";

interface Event {
  readonly id: string;
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: documents of every shape
  readonly data: any;
}

/** An event stream as a client reads it. */
class Stream {
  readonly status: number;
  readonly headers: Headers;
  readonly comments: string[] = [];
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #abort: AbortController;
  #text = "";

  private constructor(response: Response, abort: AbortController) {
    this.status = response.status;
    this.headers = response.headers;
    this.#reader = (
      response.body ?? new Response("").body!
    ).getReader() as ReadableStreamDefaultReader<Uint8Array>;
    this.#abort = abort;
  }

  static async open(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Stream> {
    const abort = new AbortController();
    const all = { authorization: `Bearer ${TOKEN}`, ...headers };
    return new Stream(await fetch(url, { headers: all, signal: abort.signal }), abort);
  }

  /** The next event; `undefined` at the end. */
  async next(): Promise<Event | undefined> {
    for (;;) {
      const block = await this.#block();
      if (block === undefined) return undefined;
      if (block.event !== undefined) return block.event;
    }
  }

  /** What stands up to the next empty line, with the event if it is one; `undefined` at the end. */
  async #block(): Promise<{ readonly event: Event | undefined } | undefined> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end === -1) {
        const { value, done } = await this.#reader.read();
        if (done) return undefined;
        this.#text += Buffer.from(value).toString();
        continue;
      }
      const block = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 2);
      const fields = Object.fromEntries(
        block
          .split("\n")
          .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
      );
      if (fields[""] !== undefined) this.comments.push(fields[""]);
      if (fields["data"] === undefined) return { event: undefined };
      return { event: { id: fields["id"]!, event: fields["event"]!, data: JSON.parse(fields["data"]) } };
    }
  }

  async take(count: number): Promise<Event[]> {
    const events: Event[] = [];
    while (events.length < count) {
      const next = await this.next();
      if (next === undefined) throw new Error(`ended after ${events.length} events`);
      events.push(next);
    }
    return events;
  }

  /** Reads until there were so many comments, and no event. */
  async untilComments(count: number): Promise<void> {
    while (this.comments.length < count) {
      const block = await this.#block();
      if (block === undefined) throw new Error(`ended after ${this.comments.length} comments`);
      if (block.event !== undefined) throw new Error(`an event: ${block.event.id}`);
    }
  }

  close(): void {
    this.#abort.abort();
  }
}

let server: RestServer;
let project: TestProject;
let base: string;

beforeEach(async () => {
  server = await RestServer.start({ heartbeatMs: 50, stalledMs: 300 });
  project = await TestProject.create(server.forge, "acme/app");
  base = `${server.url}/api/mic/projects/${project.id}`;
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

describe("landings as they happen", () => {
  test("a stream starts now, or behind the position that it is given", async () => {
    await project.land({ goal: "one", put: { a: "1" } });
    const fromNow = await Stream.open(`${base}/landings/events`);
    expect(fromNow.status).toBe(200);
    expect(fromNow.headers.get("content-type")).toBe("text/event-stream");
    expect(fromNow.headers.get("x-accel-buffering")).toBe("no");
    const fromStart = await Stream.open(`${base}/landings/events?after=0`);
    await project.land({ goal: "two", put: { a: "2" } });
    expect(await fromNow.take(1)).toMatchObject([
      { id: "2", event: "landing", data: { position: 2, goal: "two" } },
    ]);
    expect((await fromStart.take(2)).map(({ id }) => id)).toEqual(["1", "2"]);
    fromNow.close();
    fromStart.close();
  });

  test("Last-Event-ID goes on behind it, and wins over `after`", async () => {
    for (const goal of ["one", "two", "three"]) await project.land({ goal, put: { [goal]: goal } });
    const stream = await Stream.open(`${base}/landings/events?after=0`, { "last-event-id": "1" });
    expect((await stream.take(2)).map(({ id }) => id)).toEqual(["2", "3"]);
    stream.close();
  });

  test("cursors that are none, or beyond the head, are refused before the stream starts", async () => {
    for (const [headers, status] of [
      [{ "last-event-id": "x" }, 400],
      [{ "last-event-id": "99" }, 400],
    ] as const) {
      expect((await Stream.open(`${base}/landings/events`, headers)).status).toBe(status);
    }
    expect((await Stream.open(`${server.url}/api/mic/projects/acme%2Fnone/landings/events`)).status).toBe(
      404,
    );
  });

  test("comments keep a quiet stream open", async () => {
    const stream = await Stream.open(`${base}/landings/events`);
    await stream.untilComments(2);
    await project.land({ put: { a: "1" } });
    await stream.take(1);
    stream.close();
  });

  test("draining ends streams with a comment", async () => {
    const stream = await Stream.open(`${base}/landings/events`);
    setTimeout(() => server.drain.abort(), 50);
    expect(await stream.next()).toBeUndefined();
    expect(stream.comments.at(-1)).toBe("the server is stopping");
  });

  test("200 streams see every landing in order", async () => {
    const streams = await Promise.all(
      Array.from({ length: 200 }, () => Stream.open(`${base}/landings/events`)),
    );
    for (let i = 0; i < 5; i++) await project.land({ put: { [`f${i}`]: "x" } });
    const seen = await Promise.all(streams.map(async (stream) => (await stream.take(5)).map(({ id }) => id)));
    for (const ids of seen) expect(ids).toEqual(["1", "2", "3", "4", "5"]);
    for (const stream of streams) stream.close();
  });

  test("a client that takes nothing is dropped, and holds a bounded buffer", async () => {
    const { hostname, port } = new URL(server.url);
    const goal = "g".repeat(500_000);
    for (let i = 0; i < 40; i++) await project.land({ goal, put: { [`f${i}`]: "x" } });
    const socket: Socket = connect(Number(port), hostname);
    socket.pause();
    socket.on("error", () => undefined);
    const head = `GET /api/mic/projects/${project.id}/landings/events?after=0 HTTP/1.1\r\nhost: x\r\n`;
    socket.write(`${head}authorization: Bearer ${TOKEN}\r\n\r\n`);
    await expect.poll(() => server.ended).toBe(1);
    let received = 0;
    const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
    socket.on("data", (part) => {
      received += part.length;
    });
    socket.resume();
    await closed;
    expect(received).toBeLessThan(15_000_000);
  });
});

describe("a session as it happens", () => {
  test("everything recorded, then what follows, to its end; who has seen it all is told not to come back", async () => {
    const client = server.client();
    const { json } = await client.post(`/api/mic/projects/${project.id}/sessions`, { goal: "Follow me" });
    const at = `/api/mic/projects/${project.id}/sessions/${json.id}`;
    await client.post(`${at}/decisions`, { text: "first" });
    const stream = await Stream.open(`${server.url}${at}/events`);
    expect(await stream.take(2)).toMatchObject([
      { event: "session", data: { goal: "Follow me", state: "open" } },
      { event: "decision", data: { text: "first" } },
    ]);
    const blob = await client.call("POST", `/api/mic/projects/${project.id}/blobs`, { bytes: "x" });
    await client.post(`${at}/operations`, { operations: [{ op: "put", path: "x", ...blob.json }] });
    expect(await stream.take(1)).toMatchObject([{ event: "operations", data: [{ op: "put", path: "x" }] }]);
    await client.post(`${at}/conversation`, { messages: [{ role: "user", text: "hi" }] });
    const [message] = await stream.take(1);
    expect(message).toMatchObject({ event: "message", data: { role: "user", text: "hi" } });
    await client.post(`${at}/land`);
    const [last] = await stream.take(1);
    expect(last).toMatchObject({ event: "state", data: { state: "landed", landedAt: 1 } });
    expect(await stream.next()).toBeUndefined();
    const resumed = await Stream.open(`${server.url}${at}/events`, { "last-event-id": message!.id });
    expect(await resumed.take(1)).toMatchObject([{ event: "state", id: last!.id }]);
    expect((await Stream.open(`${server.url}${at}/events`, { "last-event-id": last!.id })).status).toBe(204);
    expect((await Stream.open(`${server.url}${at}/events?after=garbage`)).status).toBe(400);
  });
});
