/** What webhooks are sent to, without a network: answers as a test says, and checks every signature by itself. */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Clock } from "../../src/core/base/clock.ts";
import { MicError } from "../../src/core/base/errors.ts";
import type { OutboundAnswer, OutboundRequest } from "../../src/server/network/outbound.ts";

export interface Received {
  readonly atMs: number;
  readonly url: string;
  readonly id: string;
  // biome-ignore lint/suspicious/noExplicitAny: documents are looked at field by field
  readonly body: any;
  readonly headers: Readonly<Record<string, string>>;
}

/** A status, with a `retry-after`, or no answer at all; `hang` answers after so many milliseconds. */
export type Reply =
  | number
  | { readonly status: number; readonly retryAfter: string }
  | "no connection"
  | { readonly hangMs: number; readonly status: number };

export class WebhookReceiver {
  readonly received: Received[] = [];
  /** By the start of the address. */
  readonly secrets = new Map<string, string>();
  reply: (url: string, count: number) => Reply = () => 200;
  running = 0;
  runningMost = 0;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async fetch(url: string, request: OutboundRequest = {}): Promise<OutboundAnswer> {
    this.running++;
    this.runningMost = Math.max(this.runningMost, this.running);
    try {
      return await this.#answer(url, request);
    } finally {
      this.running--;
    }
  }

  async check(): Promise<void> {
    // Every address is good.
  }

  async #answer(url: string, request: OutboundRequest): Promise<OutboundAnswer> {
    const { headers = {}, body = "" } = request;
    const secret = this.secrets.get(url);
    if (secret !== undefined) checkSignature(headers, String(body), secret, this.#clock.nowMs());
    this.received.push({
      atMs: this.#clock.nowMs(),
      url,
      id: headers["webhook-id"]!,
      body: JSON.parse(String(body)),
      headers,
    });
    const reply = this.reply(url, this.received.filter((each) => each.url === url).length);
    if (reply === "no connection") throw new MicError("unreachable", "hook.example: no connection");
    if (typeof reply === "object" && "hangMs" in reply) await this.#clock.sleep(reply.hangMs, request.signal);
    const status = typeof reply === "number" ? reply : reply.status;
    const retryAfter = typeof reply === "object" && "retryAfter" in reply ? reply.retryAfter : undefined;
    return {
      status,
      headers: retryAfter === undefined ? {} : { "retry-after": retryAfter },
      body: new Uint8Array(),
      isCut: false,
      url,
    };
  }
}

/** As a receiver does it that knows the specification only (standardwebhooks.com). */
export function checkSignature(
  headers: Readonly<Record<string, string | undefined>>,
  body: string,
  secret: string,
  nowMs: number,
): void {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  if (id === undefined || timestamp === undefined) throw new Error("the message is not signed");
  if (Math.abs(nowMs / 1000 - Number(timestamp)) > 300) throw new Error("the message is too old, or too new");
  if (!secret.startsWith("whsec_")) throw new Error("not a secret");
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest();
  const signatures = (headers["webhook-signature"] ?? "").split(" ");
  const isGood = signatures.some((signature) => {
    const [version, value] = signature.split(",");
    const given = Buffer.from(value ?? "", "base64");
    return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
  });
  if (!isGood) throw new Error("the signature is not good");
}
