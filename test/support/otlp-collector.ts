/** A collector that takes OTLP/HTTP in JSON and refuses whatever opentelemetry-proto does not have. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { z } from "zod";

const number64 = z.string().regex(/^-?\d{1,20}$/);
const value = z.union([
  z.strictObject({ stringValue: z.string() }),
  z.strictObject({ boolValue: z.boolean() }),
  z.strictObject({ intValue: number64 }),
  z.strictObject({ doubleValue: z.number() }),
]);
const attributes = z.array(z.strictObject({ key: z.string().min(1), value }));
const span = z.strictObject({
  traceId: z.string().regex(/^(?!0+$)[0-9a-f]{32}$/),
  spanId: z.string().regex(/^(?!0+$)[0-9a-f]{16}$/),
  traceState: z.string().optional(),
  parentSpanId: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .optional(),
  flags: z.int().optional(),
  name: z.string().min(1),
  kind: z.int().min(1).max(5),
  startTimeUnixNano: z.string().regex(/^\d{19}$/),
  endTimeUnixNano: z.string().regex(/^\d{19}$/),
  attributes,
  status: z.strictObject({ code: z.int().min(0).max(2), message: z.string().optional() }).optional(),
});
const request = z.strictObject({
  resourceSpans: z
    .array(
      z.strictObject({
        resource: z.strictObject({ attributes }),
        scopeSpans: z.array(
          z.strictObject({
            scope: z.strictObject({ name: z.string(), version: z.string() }),
            spans: z.array(span).min(1),
          }),
        ),
      }),
    )
    .min(1),
});

export interface CollectedSpan extends Omit<z.output<typeof span>, "attributes"> {
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
}

export class OtlpCollector implements AsyncDisposable {
  readonly spans: CollectedSpan[] = [];
  readonly resources: Readonly<Record<string, string | number | boolean>>[] = [];
  readonly headers: Readonly<Record<string, string | string[] | undefined>>[] = [];
  readonly problems: string[] = [];
  /** Of the next answers; 200 when there are none. */
  readonly statuses: number[] = [];
  /** The last body, for other parsers. */
  body = "";
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<OtlpCollector> {
    const server = createServer();
    const collector = new OtlpCollector(server);
    server.on("request", (call, response) => {
      const parts: Buffer[] = [];
      call.on("data", (part: Buffer) => parts.push(part));
      call.on("end", () => {
        const status = collector.statuses.shift() ?? 200;
        collector.headers.push(call.headers);
        if (call.method !== "POST" || call.url !== "/v1/traces")
          collector.problems.push(`${call.method} ${call.url}`);
        if (call.headers["content-type"] !== "application/json") collector.problems.push("not JSON");
        const bytes = Buffer.concat(parts);
        if (status === 200)
          collector.#take(call.headers["content-encoding"] === "gzip" ? gunzipSync(bytes) : bytes);
        response.writeHead(status, { "content-type": "application/json" });
        response.end("{}");
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return collector;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  named(name: string): readonly CollectedSpan[] {
    return this.spans.filter((each) => each.name === name);
  }

  #take(bytes: Buffer): void {
    this.body = bytes.toString();
    const parsed = request.safeParse(JSON.parse(this.body));
    if (!parsed.success) {
      this.problems.push(z.prettifyError(parsed.error));
      return;
    }
    for (const { resource, scopeSpans } of parsed.data.resourceSpans) {
      this.resources.push(plain(resource.attributes));
      for (const { spans } of scopeSpans) {
        for (const each of spans) this.spans.push({ ...each, attributes: plain(each.attributes) });
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

function plain(pairs: z.output<typeof attributes>): Record<string, string | number | boolean> {
  return Object.fromEntries(
    pairs.map(({ key, value: given }) => {
      if ("intValue" in given) return [key, Number(given.intValue)];
      return [key, Object.values(given)[0] as string | number | boolean];
    }),
  );
}
