/** A bucket on a real object server for a benchmark, near or some milliseconds away, with its requests counted. */
import { type ObjectServer, startObjectServer } from "../real/object-servers.ts";
import { delayed } from "./delayed.ts";

const BUCKET = "bench";

export interface BenchBucket extends AsyncDisposable {
  /** For `mic serve` and `mic` on `s3://`. */
  readonly env: Readonly<Record<string, string>>;
  readonly flags: readonly string[];
  /** `s3://bench/…` */
  address(project: string): string;
  /** Of the object server. */
  readonly pid: number;
  /** Requests that the object server has answered, by name. */
  requests(): Promise<ReadonlyMap<string, number>>;
}

/** `roundTripMs`: added to each round trip to the bucket. */
export async function openBucket(roundTripMs = 0): Promise<BenchBucket> {
  await using cleanup = new AsyncDisposableStack();
  const server = cleanup.use(await startObjectServer("minio"));
  await server.makeBucket(BUCKET);
  const proxy = cleanup.use(await delayed(server.port, roundTripMs));
  const env = server.environment(BUCKET, `http://127.0.0.1:${proxy.port}`);
  const kept = cleanup.move();
  return {
    env,
    flags: ["--s3-bucket", BUCKET],
    address: (project) => `s3://${BUCKET}/${project}`,
    pid: server.pid,
    requests: () => readRequests(server),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function readRequests({ endpoint }: ObjectServer): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`${endpoint}/minio/metrics/v3/api/requests`)).text();
  const counts = new Map<string, number>();
  for (const line of text.split("\n")) {
    const match = /^minio_api_requests_total\{(.*)\} (\d+)$/.exec(line);
    const name = match === null ? undefined : /name="([^"]*)"/.exec(match[1]!)?.[1];
    if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + Number(match![2]));
  }
  return counts;
}

/** What was asked between two readings: `GetObject 12, PutObject 3`. */
export function requestsBetween(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): { readonly total: number; readonly text: string } {
  const parts: string[] = [];
  let total = 0;
  for (const [name, count] of after) {
    const made = count - (before.get(name) ?? 0);
    if (made === 0) continue;
    total += made;
    parts.push(`${name} ${made}`);
  }
  return { total, text: parts.join(", ") || "none" };
}
