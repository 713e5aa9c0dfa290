import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { platform } from "node:process";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import type { ProjectId } from "../../src/core/base/ids.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import { framesOf, testObject } from "../support/packs.ts";

const TOKEN = "token-of-the-upload-memory-test";
const PACKS = 32;
const PACK_BYTES = 8 << 20;
const AT_ONCE = 2;
const PEAK_BYTES_MAX = 260_000_000;

let child: ChildProcess | undefined;
const directory = mkdtempSync(join(tmpdir(), "mic-upload-"));
afterAll(() => {
  child?.kill("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
});

async function serve(): Promise<{ url: string; pid: number }> {
  const mic = fileURLToPath(new URL("../../bin/mic.ts", import.meta.url));
  child = spawn(process.execPath, [mic, "serve", "--json", "--data", directory, "--listen", "127.0.0.1:0"], {
    env: { ...process.env, MIC_OWNER_TOKEN: TOKEN },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout!, "data")) as [Buffer];
  child.stdout!.resume();
  return { url: JSON.parse(String(line).split("\n")[0]!).url, pid: child.pid! };
}

test.runIf(platform === "linux")("uploaded packs do not add up in a server's memory", async () => {
  const { url, pid } = await serve();
  await using forge = await openRemoteForge(url, { clock: systemClock, random: systemRandom, token: TOKEN });
  const id = "ab".repeat(16) as ProjectId;
  await forge.createProject({ id, name: "local/uploads" });
  for (let start = 0; start < PACKS; start += AT_ONCE) {
    const packs = Array.from({ length: AT_ONCE }, () => {
      const content = crypto.getRandomValues(new Uint8Array(65_536));
      const whole = new Uint8Array(PACK_BYTES);
      for (let at = 0; at < PACK_BYTES; at += content.length) {
        content[0] = at >> 16;
        whole.set(content, at);
      }
      return encodePack(framesOf([testObject(whole)], PACK_BYTES, "store"));
    });
    const stored = await Promise.all(packs.map(({ bytes }) => forge.putPack(id, bytes)));
    expect(stored).toEqual(packs.map((pack) => pack.id));
  }
  const peak = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))!;
  expect(Number(peak[1]) * 1024).toBeLessThan(PEAK_BYTES_MAX);
});
