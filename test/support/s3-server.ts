/**
 * An S3 server in this process, with memory behind it. It checks every signature, and can be told to misbehave
 * in each way that a real one, or the network before it, does.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Credentials } from "../../src/core/store/s3/credentials-types.ts";
import type { S3Options } from "../../src/core/store/s3/options.ts";
import { errorAnswer, type S3Answer, S3Objects, type S3Request } from "./s3-objects.ts";
import { checkSignature } from "./s3-signature.ts";

export type Misbehaviour =
  /** An error instead of doing it. */
  | {
      readonly kind: "refuse";
      readonly status: number;
      readonly code?: string;
      readonly headers?: Record<string, string>;
      readonly fields?: Record<string, string>;
    }
  /** The connection ends before it is done. */
  | { readonly kind: "drop" }
  /** It is done, and the connection ends before the answer. */
  | { readonly kind: "lose-answer" }
  /** It is done, and half of the answer's body comes. */
  | { readonly kind: "truncate" }
  /** Done or not, the answer comes late, or never (Infinity). */
  | { readonly kind: "delay"; readonly ms: number; readonly isDone: boolean }
  /** The request is done, and answered, once `until` resolves. */
  | { readonly kind: "hold"; readonly until: Promise<void> }
  /** An answer of another kind than S3's. */
  | { readonly kind: "say"; readonly answer: S3Answer; readonly isDone: boolean }
  /** It is done, and these headers are taken out of the answer. */
  | { readonly kind: "strip"; readonly headers: readonly string[] };

interface Plan {
  readonly when: (request: S3Request) => boolean;
  readonly what: Misbehaviour;
  left: number;
}

export interface S3ServerOptions {
  readonly region?: string;
  readonly bucket?: string;
  readonly gcs?: boolean;
}

export class S3Server implements AsyncDisposable {
  readonly objects: S3Objects;
  readonly region: string;
  /** Every request that had a right signature, misbehaved to or not. */
  readonly requests: S3Request[] = [];
  /** What the store expects; change it as keys are rotated. */
  credentials: Credentials = { accessKeyId: "KEYID", secretAccessKey: "sEcr+t/key" };
  /** Refused as expired, whatever they sign. */
  readonly expired = new Set<string>();
  /** What is said to a signature of another region: AWS's regional endpoints do the one, its global one the other. */
  wrongRegion: "refuse" | "redirect" = "refuse";
  /** Of the store's clock over ours. */
  skewMs = 0;
  readonly #server: Server;
  #plans: Plan[] = [];

  static async start(options: S3ServerOptions = {}): Promise<S3Server> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new S3Server(server, options);
  }

  constructor(server: Server, options: S3ServerOptions) {
    this.#server = server;
    this.region = options.region ?? "eu-test-1";
    this.objects = new S3Objects(options.bucket ?? "bucket", options.gcs ?? false);
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      this.#serve(request, response).catch(() => request.socket.destroy());
    });
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What opens a store on it. */
  options(change: Partial<S3Options> = {}): S3Options {
    return {
      bucket: this.objects.bucket,
      prefix: "",
      region: this.region,
      endpoint: this.endpoint,
      ...(this.objects.isGcs ? { dialect: "gcs" } : {}),
      credentials: { get: async () => this.credentials },
      transport: "fetch",
      clock: systemClock,
      random: systemRandom,
      ...change,
    };
  }

  /** The next `times` requests that `when` takes are answered so. Earlier plans come first. */
  misbehave(what: Misbehaviour, when: (request: S3Request) => boolean = () => true, times = 1): void {
    this.#plans.push({ when, what, left: times });
  }

  /** Drops the plans that are left. */
  behave(): void {
    this.#plans = [];
  }

  /** Plans that no request has met yet. */
  get plansLeft(): number {
    return this.#plans.reduce((sum, { left }) => sum + left, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of incoming) pieces.push(piece as Buffer);
    const body = new Uint8Array(Buffer.concat(pieces));
    const [path, query = ""] = incoming.url!.split("?", 2) as [string, string?];
    const method = incoming.method!;
    const [, bucket, key = ""] = /^\/([^/]*)\/?(.*)$/s.exec(path)!;
    const { headers } = incoming;
    const request: S3Request = {
      method,
      bucket: decodeURIComponent(bucket!),
      key: decodeURIComponent(key),
      query: new URLSearchParams(query),
      headers,
      body,
    };
    const refused = this.#check({ method, path, query, headers, body });
    if (refused !== undefined) return this.#send(request, response, refused);
    this.requests.push(request);
    const plan = this.#plans.find(({ left, when }) => left > 0 && when(request));
    if (plan === undefined) return this.#send(request, response, this.objects.answer(request));
    plan.left--;
    await this.#misbehave(plan.what, request, response);
  }

  #check(request: Parameters<typeof checkSignature>[0]): S3Answer | undefined {
    const { credentials } = this;
    const words = request.headers.authorization ?? decodeURIComponent(request.query);
    for (const expired of this.expired) {
      if (words.includes(`Credential=${expired}/`)) return errorAnswer(400, "ExpiredToken");
    }
    const foreign = this.objects.isGcs ? /^x-amz-/ : /^x-goog-/;
    if (Object.keys(request.headers).some((name) => foreign.test(name))) {
      return errorAnswer(400, "ExcessHeaderValues");
    }
    const secrets = {
      secretOf: (id: string) => (id === credentials.accessKeyId ? credentials.secretAccessKey : undefined),
      sessionToken: credentials.sessionToken,
    };
    const refusal = checkSignature(request, secrets, { region: this.region, nowMs: this.#nowMs() });
    if (refusal === undefined) return undefined;
    if (refusal.region !== undefined && this.wrongRegion === "redirect") {
      const answer = errorAnswer(301, "PermanentRedirect", { Endpoint: "elsewhere.example" });
      return { ...answer, headers: { ...answer.headers, "x-amz-bucket-region": refusal.region } };
    }
    return errorAnswer(refusal.status, refusal.code, {
      ...(refusal.region === undefined ? {} : { Region: refusal.region }),
      ...(refusal.code === "RequestTimeTooSkewed"
        ? { ServerTime: new Date(this.#nowMs()).toISOString() }
        : {}),
    });
  }

  async #misbehave(what: Misbehaviour, request: S3Request, response: ServerResponse): Promise<void> {
    switch (what.kind) {
      case "refuse": {
        const answer = errorAnswer(what.status, what.code ?? "", what.fields);
        return this.#send(request, response, { ...answer, headers: { ...answer.headers, ...what.headers } });
      }
      case "drop":
        response.socket?.destroy();
        return;
      case "lose-answer":
        this.objects.answer(request);
        response.socket?.destroy();
        return;
      case "truncate": {
        const answer = this.objects.answer(request);
        response.writeHead(answer.status, {
          ...answer.headers,
          "content-length": String(answer.body.length),
        });
        response.write(answer.body.subarray(0, answer.body.length >> 1));
        await systemClock.sleep(20);
        response.socket?.destroy();
        return;
      }
      case "delay": {
        const answer = what.isDone ? this.objects.answer(request) : undefined;
        if (what.ms === Number.POSITIVE_INFINITY) return;
        await systemClock.sleep(what.ms);
        return this.#send(request, response, answer ?? this.objects.answer(request));
      }
      case "hold":
        await what.until;
        return this.#send(request, response, this.objects.answer(request));
      case "say":
        if (what.isDone) this.objects.answer(request);
        return this.#send(request, response, what.answer);
      case "strip": {
        const answer = this.objects.answer(request);
        const headers = Object.entries(answer.headers).filter(([name]) => !what.headers.includes(name));
        return this.#send(
          request,
          response,
          { ...answer, headers: Object.fromEntries(headers) },
          what.headers,
        );
      }
    }
  }

  #send(
    request: S3Request,
    response: ServerResponse,
    answer: S3Answer,
    without: readonly string[] = [],
  ): void {
    if (without.includes("date")) response.sendDate = false;
    const date = without.includes("date") ? {} : { date: new Date(this.#nowMs()).toUTCString() };
    const hasBody = request.method !== "HEAD" && answer.status !== 304 && answer.status !== 204;
    response.writeHead(answer.status, {
      ...date,
      ...answer.headers,
      ...(answer.status === 204 || answer.status === 304
        ? {}
        : { "content-length": String(answer.body.length) }),
    });
    response.end(hasBody ? answer.body : undefined);
  }

  #nowMs(): number {
    return systemClock.nowMs() + this.skewMs;
  }
}
