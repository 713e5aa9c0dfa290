/**
 * `npm run test:real [-- PART…]`: the built binary against software that others made. Each part brings what it needs,
 * or says what is missing and fails. Last line: `N passed, N failed`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serve } from "../bench/server.ts";
import { accounts } from "./accounts.ts";
import { browser } from "./browser.ts";
import { bucketStory, STORY } from "./bucket-story.ts";
import { Checks } from "./checks.ts";
import { conformance } from "./conformance.ts";
import { curlSession } from "./curl-session.ts";
import { buildGoTools } from "./go-tools.ts";
import { grpcSession } from "./grpc-session.ts";
import { httpCache } from "./http-cache.ts";
import { storage } from "./storage.ts";
import { transfers } from "./transfers.ts";

interface Part {
  readonly title: string;
  readonly run: (checks: Checks) => Promise<void>;
}

const PARTS: Readonly<Record<string, Part>> = {
  sessions: { title: "sessions over gRPC with grpcurl and over REST with curl", run: sessions },
  browser: { title: "signing in with a real browser", run: browser },
  kits: { title: "the conformance kits on MinIO and versitygw", run: conformance },
  storage: { title: "mic storage on MinIO and on versitygw, old and new", run: storage },
  transfers: { title: "large landings and cold starts on a bucket", run: transfers },
  accounts: { title: "accounts of several servers, with Litestream and MinIO", run: accounts },
  cache: { title: "nginx in front of a bucket on MinIO", run: (checks) => httpCache(checks, "minio") },
  "cache-versitygw": {
    title: "nginx in front of a bucket on versitygw",
    run: (checks) => httpCache(checks, "versitygw"),
  },
  story: { title: "the story of a bucket on MinIO", run: (checks) => bucketStory(checks, STORY) },
  // It closes every connection after its answer.
  "story-versitygw": {
    title: "the story of a bucket on versitygw",
    run: (checks) => bucketStory(checks, { ...STORY, server: "versitygw" }),
  },
};

async function sessions(checks: Checks): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "mic-real-"));
  try {
    await using server = await serve({ data: join(directory, "data") });
    grpcSession(server, checks);
    curlSession(server, checks);
    checks.expect("the server ends when it is told to", await server.stop(), 0);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !(name in PARTS));
if (unknown !== undefined) throw new Error(`${unknown} is none of ${Object.keys(PARTS).join(", ")}`);

const checks = new Checks();
// A tool that cannot be built fails the parts that need it, with the reason.
await checks.part("what others made, built from source", () => buildGoTools());
for (const [name, { title, run }] of Object.entries(PARTS)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const began = performance.now();
  await checks.part(title, () => run(checks));
  console.log(`(${((performance.now() - began) / 1000).toFixed(0)} s)`);
}
console.log(`\n${checks.summary}`);
process.exit(checks.failed === 0 ? 0 : 1);
