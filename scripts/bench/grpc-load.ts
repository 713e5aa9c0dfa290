/**
 * Part of the server benchmark: gRPC calls with the standard client, so many at a time.
 *
 *   bun scripts/bench/grpc-load.ts ORIGIN TOKEN PROJECT CALL CONCURRENCY SECONDS
 *
 * CALL: head, tree, blob. Prints one JSON line like load.ts.
 */
import * as grpc from "@grpc/grpc-js";
import { hexToBytes } from "../../src/core/base/bytes.ts";
import { ContentServiceDefinition } from "../../src/core/wire/gen/mic/v1/content.ts";
import { percentiles } from "./harness.ts";
import type { LoadResult } from "./load.ts";

const [origin, token, project, call, concurrencyText, secondsText, blob] = process.argv.slice(2);
const SECONDS = Number(secondsText);
/** Streams of one HTTP/2 connection. */
const CALLS_PER_CHANNEL = 64;
/** As mic's own client has it. With 64 KiB for all streams, the runtime's HTTP/2 serves some and forgets others. */
const WINDOW_BYTES = 8 << 20;

interface Codec {
  encode(message: unknown): { finish(): Uint8Array };
  decode(bytes: Uint8Array): unknown;
}
const METHODS = {
  head: [ContentServiceDefinition.methods.getHead, { project, atLeast: 0n }],
  tree: [ContentServiceDefinition.methods.getTree, { project, dir: "", after: "", limit: 100 }],
  blob: [
    ContentServiceDefinition.methods.getBlob,
    {
      project,
      id: hexToBytes(blob ?? ""),
      chunks: new Uint8Array(),
      hint: 0n,
      offset: 0n,
      length: 0n,
      size: 0n,
    },
  ],
} as const;
const [method, request] = METHODS[call as keyof typeof METHODS];
const requestType = method.requestType as unknown as Codec;
const responseType = method.responseType as unknown as Codec;
const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${token}`);
const latencies: number[] = [];
let failures = 0;

async function drive(client: grpc.Client, end: number): Promise<void> {
  while (performance.now() < end) {
    const began = performance.now();
    await once(client).catch(() => failures++);
    latencies.push(performance.now() - began);
  }
}

function once(client: grpc.Client): Promise<void> {
  const path = `/mic.v1.ContentService/${method.name}`;
  const serialize = (message: unknown): Buffer => Buffer.from(requestType.encode(message).finish());
  const deserialize = (bytes: Buffer): unknown => responseType.decode(bytes);
  return new Promise((resolve, reject) => {
    if (method.responseStream) {
      const stream = client.makeServerStreamRequest(path, serialize, deserialize, request, metadata);
      stream
        .on("data", () => undefined)
        .on("end", resolve)
        .on("error", reject);
      return;
    }
    client.makeUnaryRequest(path, serialize, deserialize, request, metadata, (error) =>
      error === null ? resolve() : reject(error),
    );
  });
}

const channels = Array.from(
  { length: Math.ceil(Number(concurrencyText) / CALLS_PER_CHANNEL) },
  () =>
    new grpc.Client(new URL(origin!).host, grpc.credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      "grpc-node.flow_control_window": WINDOW_BYTES,
    }),
);
await Promise.all(channels.map(once));
const end = performance.now() + SECONDS * 1000;
await Promise.all(
  Array.from({ length: Number(concurrencyText) }, (_, i) => drive(channels[i % channels.length]!, end)),
);
const result: LoadResult = { requests: latencies.length, failures, ...percentiles(latencies) };
console.log(JSON.stringify(result));
process.exit(0);
