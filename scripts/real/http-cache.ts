/**
 * A real HTTP cache in front of a bucket. A clone by a fresh agent behind a warm cache asks the bucket for nothing that
 * never changes; an answer that was tampered with is noticed and asked of the bucket instead.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generator, scratch } from "../bench/harness.ts";
import { serve } from "../bench/server.ts";
import { type ChaosProxy, startChaosProxy } from "./chaos-proxy.ts";
import type { Checks } from "./checks.ts";
import { setEnvironment } from "./environment.ts";
import { startNginx } from "./nginx.ts";
import { type ObjectServerKind, startObjectServer } from "./object-servers.ts";
import { expectDone } from "./run-mic.ts";
import { compareSnapshots, takeSnapshot } from "./snapshot.ts";

const BUCKET = "cached";
const PROJECT = "acme/cached";
const ADDRESS = `s3://${BUCKET}/${PROJECT}`;
const LANDINGS = 12;
const FILES = 400;

export async function httpCache(checks: Checks, kind: ObjectServerKind): Promise<void> {
  using directory = scratch("http-cache");
  const home = join(directory.path, "home");
  await using store = await startObjectServer(kind);
  await store.makeBucket(BUCKET);
  await store.allowReads(BUCKET);
  // Everything that reaches the bucket passes here, the cache's requests too.
  await using origin = await startChaosProxy({ targetPort: store.port, seed: 1, rate: 0 });
  mkdirSync(join(directory.path, "nginx"));
  await using cache = await startNginx(join(directory.path, "nginx"), Number(new URL(origin.url).port));
  using _environment = setEnvironment({
    ...store.environment(BUCKET, origin.url),
    STORAGE_CDN_BASE_URL: `${cache.url}/${BUCKET}`,
  });
  const source = join(directory.path, "source");
  await makeHistory(source, directory.path, home);
  const expected = takeSnapshot(source, () => false);

  /** Clones as nobody before: another server with nothing in memory, or the command line by itself. */
  const clone = async (name: string, through: "server" | "bucket"): Promise<Found> => {
    const from = origin.requests.length;
    const to = join(directory.path, name);
    let tiers: readonly string[] = [];
    if (through === "bucket") {
      await expectDone(directory.path, ["clone", ADDRESS, to], join(directory.path, `home-${name}`));
    } else {
      await using server = await serve({
        data: join(directory.path, `data-${name}`),
        flags: ["--s3-bucket", BUCKET],
      });
      using _token = setEnvironment(server.env);
      await expectDone(directory.path, ["clone", `${server.url}/${PROJECT}`, to], home);
      tiers = await tierMetrics(server.url, server.token);
    }
    checks.expect(
      `${name}: every file is right`,
      compareSnapshots(
        expected,
        takeSnapshot(to, () => false),
      ),
      [],
    );
    return { asked: immutable(origin, from), tiers };
  };

  const first = await clone("first, through a server", "server");
  checks.expect("the first clone fills the cache", first.asked.length > 0, true);
  const second = await clone("second, through a server", "server");
  checks.expect("a second clone does not touch the origin", second.asked, []);
  for (const line of second.tiers.filter((text) => /result="hit"|quantile="0.5"/.test(text)))
    console.log(`  ${line}`);
  const third = await clone("third, directly", "bucket");
  checks.expect("nor does one without a server", third.asked, []);

  const poisoned = cache.poison();
  const fourth = await clone("fourth, with every answer poisoned", "server");
  checks.expect("poisoned answers were there", poisoned > 0, true);
  const noticed = Number(metric(fourth.tiers, 'mic_store_tier_poisoned_total{tier="cdn"}'));
  checks.expect("they were noticed", noticed > 0, true);
  checks.expect("and asked of the origin", fourth.asked.length > 0, true);
  console.log(
    `  ${first.asked.length} requests for what never changes at the first clone, ${second.asked.length} at the second; of ${poisoned} poisoned objects ${noticed} were read, and ${fourth.asked.length} asked of the origin`,
  );
  const fifth = await clone("fifth, directly, with every answer poisoned", "bucket");
  checks.expect("without a server they are asked of the origin too", fifth.asked.length > 0, true);
}

interface Found {
  /** Requests that reached the bucket for what never changes. */
  readonly asked: readonly string[];
  /** Of `/metrics`. */
  readonly tiers: readonly string[];
}

async function makeHistory(source: string, directory: string, home: string): Promise<void> {
  const random = generator(1);
  await expectDone(directory, ["project", "create", ADDRESS], home);
  await expectDone(directory, ["clone", ADDRESS, source], home);
  for (let round = 0; round < LANDINGS; round++) {
    for (let i = 0; i < FILES; i++) {
      if (round > 0 && random() > 0.1) continue;
      const path = join(source, `d${i % 20}`, `file-${i}.txt`);
      mkdirSync(join(path, ".."), { recursive: true });
      const words = Array.from({ length: 200 }, () => Math.floor(random() * 2 ** 32).toString(36));
      writeFileSync(path, `${round} ${words.join(" ")}\n`);
    }
    await expectDone(source, ["land", `round ${round}`], home);
  }
}

/** Requests for objects under names that say what is in them; the rest (head, names, what is known of a project) may change. */
function immutable({ requests }: ChaosProxy, from: number): string[] {
  return requests
    .slice(from)
    .filter((request) => /^(?:GET|HEAD) /.test(request))
    .filter((request) => /\/projects\/[^/]+\/(?:packs|blobs|landing-log|pages)\//.test(request));
}

async function tierMetrics(url: string, token: string): Promise<string[]> {
  const response = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  return (await response.text()).split("\n").filter((line) => line.startsWith("mic_store_tier"));
}

function metric(lines: readonly string[], name: string): string | undefined {
  return lines.find((line) => line.startsWith(`${name} `))?.slice(name.length + 1);
}
