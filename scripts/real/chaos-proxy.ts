/**
 * A proxy in front of an object server that behaves as networks and overloaded servers do. Whole messages are passed
 * on byte for byte, so that signatures stay valid: the Host is the proxy's own, which is what was signed.
 *
 * A duplicated or late request is delivered with everything it carries: a conditional write that is delivered twice is
 * refused the second time, and a late one may be applied after its sender gave up.
 */
import { connect, createServer, type Socket } from "node:net";
import { generator } from "../bench/harness.ts";
import { type HttpMessage, HttpReader } from "./http-messages.ts";

const FAULTS = [
  /** The connection ends before the request is delivered. */
  "drop-request",
  /** The same, and the request is delivered a while later. */
  "late-request",
  /** It is delivered; the connection ends without an answer. */
  "drop-answer",
  /** It is delivered; the connection ends within the answer. */
  "truncate-answer",
  /** It is delivered twice, one after the other; the first answer is passed on. */
  "duplicate-first",
  /** The same; the second answer is passed on. */
  "duplicate-second",
  /** It is delivered on two connections at once; the first answer is passed on. */
  "duplicate-race",
  "delay-request",
  "delay-answer",
  /** Answered by the proxy, not delivered. */
  "refuse-429",
  "refuse-500",
  "refuse-503",
  /** Delivered, and answered by the proxy. */
  "hide-500",
  "hide-503",
  /** Only of conditional writes: not delivered, and delivered. */
  "refuse-409",
  "hide-409",
] as const;

export type ChaosFault = (typeof FAULTS)[number];

export interface ChaosOptions {
  readonly targetPort: number;
  readonly seed: number;
  /** Part of the requests that something happens to; 0: a proxy that only counts. */
  readonly rate: number;
}

export interface ChaosProxy extends AsyncDisposable {
  readonly url: string;
  /** What was done so far, by kind and by what was asked. */
  readonly faults: ReadonlyMap<ChaosFault, ReadonlyMap<string, number>>;
  /** `METHOD /path?query` of every request, in the order of arrival. */
  readonly requests: readonly string[];
  setRate(rate: number): void;
}

const DELAY_MS_MAX = 300;
const LATE_MS_MAX = 1500;

export async function startChaosProxy(options: ChaosOptions): Promise<ChaosProxy> {
  const random = generator(options.seed);
  let { rate } = options;
  const faults = new Map<ChaosFault, Map<string, number>>();
  const requests: string[] = [];
  const open = new Set<Socket>();

  const choose = (request: HttpMessage): ChaosFault | undefined => {
    if (random() >= rate) return undefined;
    const isConditional = request.headers.has("if-match") || request.headers.has("if-none-match");
    const isWrite = !/^(?:GET|HEAD) /.test(request.startLine);
    const fitting = isConditional && isWrite ? FAULTS : FAULTS.filter((fault) => !fault.endsWith("409"));
    const fault = fitting[Math.floor(random() * fitting.length)]!;
    const counts = faults.get(fault) ?? new Map<string, number>();
    const what = operationOf(request, isWrite && isConditional);
    counts.set(what, (counts.get(what) ?? 0) + 1);
    faults.set(fault, counts);
    return fault;
  };

  const server = createServer({ noDelay: true }, (client) => {
    open.add(client);
    client.on("error", () => client.destroy());
    client.on("close", () => open.delete(client));
    const upstream = new Upstream(options.targetPort);
    void serveConnection(client, async (request) => {
      requests.push(request.startLine.slice(0, request.startLine.lastIndexOf(" ")));
      const fault = choose(request);
      return fault === undefined ? upstream.ask(request) : suffer(fault, request, upstream, options, random);
    }).finally(() => {
      client.destroy();
      upstream.close();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    faults,
    requests,
    setRate: (next) => {
      rate = next;
    },
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

/** `undefined`: the connection ends here. A part of an answer is passed on before it does. */
type Reply = { readonly bytes: Buffer; readonly isLast: boolean } | undefined;

async function serveConnection(
  client: Socket,
  answer: (request: HttpMessage) => Promise<Reply>,
): Promise<void> {
  const reader = new HttpReader(client);
  for (;;) {
    const request = await reader.request();
    if (request === undefined) return;
    const reply = await answer(request);
    if (reply === undefined || client.destroyed) return;
    await new Promise<void>((resolve) => client.write(reply.bytes, () => resolve()));
    if (reply.isLast || request.isLast) {
      client.end();
      return;
    }
  }
}

async function suffer(
  fault: ChaosFault,
  request: HttpMessage,
  upstream: Upstream,
  { targetPort }: ChaosOptions,
  random: () => number,
): Promise<Reply> {
  switch (fault) {
    case "drop-request":
      return undefined;
    case "late-request": {
      const wait = random() * LATE_MS_MAX;
      void Bun.sleep(wait).then(() => Upstream.askOnce(targetPort, request));
      return undefined;
    }
    case "drop-answer":
      await upstream.ask(request);
      return undefined;
    case "truncate-answer": {
      const reply = await upstream.ask(request);
      if (reply === undefined) return undefined;
      return { bytes: reply.bytes.subarray(0, Math.floor(random() * reply.bytes.length)), isLast: true };
    }
    case "duplicate-first": {
      const reply = await upstream.ask(request);
      await Upstream.askOnce(targetPort, request);
      return reply;
    }
    case "duplicate-second":
      await upstream.ask(request);
      return upstream.ask(request);
    case "duplicate-race": {
      const [reply] = await Promise.all([upstream.ask(request), Upstream.askOnce(targetPort, request)]);
      return reply;
    }
    case "delay-request":
      await Bun.sleep(random() * DELAY_MS_MAX);
      return upstream.ask(request);
    case "delay-answer": {
      const reply = await upstream.ask(request);
      await Bun.sleep(random() * DELAY_MS_MAX);
      return reply;
    }
    case "refuse-409":
    case "refuse-429":
    case "refuse-500":
    case "refuse-503":
      return refusal(fault.slice(-3), request);
    case "hide-409":
    case "hide-500":
    case "hide-503":
      await upstream.ask(request);
      return refusal(fault.slice(-3), request);
  }
}

const REFUSALS: Readonly<Record<string, readonly [reason: string, code: string]>> = {
  409: ["Conflict", "ConditionalRequestConflict"],
  429: ["Too Many Requests", "TooManyRequests"],
  500: ["Internal Server Error", "InternalError"],
  503: ["Service Unavailable", "SlowDown"],
};

function refusal(status: string, request: HttpMessage): Reply {
  const [reason, code] = REFUSALS[status]!;
  const document = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>chaos</Message></Error>`;
  const body = request.startLine.startsWith("HEAD ") ? "" : document;
  const head = `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/xml\r\nContent-Length: ${document.length}\r\n`;
  return { bytes: Buffer.from(`${head}Date: ${new Date().toUTCString()}\r\n\r\n${body}`), isLast: false };
}

/** The server's side of one client connection: opened again when the server closed it. */
class Upstream {
  readonly #port: number;
  #connection: { readonly socket: Socket; readonly reader: HttpReader } | undefined;

  constructor(port: number) {
    this.#port = port;
  }

  static async askOnce(port: number, request: HttpMessage): Promise<void> {
    const upstream = new Upstream(port);
    await upstream.ask(request);
    upstream.close();
  }

  async ask(request: HttpMessage): Promise<Reply> {
    const { socket, reader } = this.#open();
    socket.write(request.raw);
    const answer = await reader.answer(request.startLine.slice(0, request.startLine.indexOf(" ")));
    if (answer === undefined || answer.isLast) this.close();
    return answer === undefined ? undefined : { bytes: answer.raw, isLast: answer.isLast };
  }

  close(): void {
    this.#connection?.socket.destroy();
    this.#connection = undefined;
  }

  #open() {
    if (this.#connection !== undefined && !this.#connection.socket.destroyed) return this.#connection;
    const socket = connect({ port: this.#port, host: "127.0.0.1", noDelay: true });
    socket.on("error", () => socket.destroy());
    this.#connection = { socket, reader: new HttpReader(socket) };
    return this.#connection;
  }
}

/** `GET`, `PUT`, `swap`, `LIST`, `POST`, `DELETE`; `probe`: any of them while a server tries the bucket. */
function operationOf({ startLine }: HttpMessage, isSwap: boolean): string {
  if (/^[A-Z]+ [^? ]*\/probe\//.test(startLine) || /[?&]prefix=probe/.test(startLine)) return "probe";
  if (isSwap) return "swap";
  if (/^GET [^ ]*[?&]list-type=/.test(startLine)) return "LIST";
  return startLine.slice(0, startLine.indexOf(" "));
}

/** One line per fault, with what was asked. */
export function describeChaos({ faults, requests }: ChaosProxy): string[] {
  const total = [...faults.values()].flatMap((counts) => [...counts.values()]).reduce((a, b) => a + b, 0);
  return [
    `${requests.length} requests, ${total} faults of ${faults.size} kinds:`,
    ...[...faults]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([fault, counts]) => `  ${fault}: ${[...counts].map(([what, n]) => `${what} ${n}`).join(", ")}`),
  ];
}
