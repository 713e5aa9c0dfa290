import { spawn } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const MEBIBYTE = 1 << 20;
/** Enough to show; `MIC_TEST_UPLOAD_MIB=1024` is the figure that was promised. */
const UPLOAD_MEBIBYTES = Number(process.env["MIC_TEST_UPLOAD_MIB"] ?? 512);

test("an upload to a slow reader waits in the network, not in memory", async () => {
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL("../support/slow-reader-child.ts", import.meta.url))],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  try {
    const ended = once(child, "exit").then(([code]) => {
      throw new Error(`the server ended with ${code}`);
    });
    const [line] = (await Promise.race([once(child.stdout, "data"), ended])) as [Buffer];
    ended.catch(() => undefined);
    const call = request({ port: Number(String(line)), host: "127.0.0.1", method: "POST" });
    const answered = once(call, "response");
    const part = Buffer.alloc(MEBIBYTE);
    await pipeline(
      Readable.from(
        (function* () {
          for (let i = 0; i < UPLOAD_MEBIBYTES; i++) yield part;
        })(),
      ),
      call,
    );
    const [response] = await answered;
    let text = "";
    for await (const piece of response) text += String(piece);
    const { bytes, peak } = JSON.parse(text);
    expect(bytes).toBe(UPLOAD_MEBIBYTES * MEBIBYTE);
    expect(peak / MEBIBYTE).toBeLessThan(200);
  } finally {
    child.kill();
  }
});
