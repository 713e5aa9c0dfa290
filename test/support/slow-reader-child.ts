/** A process with a port whose handler reads nothing for a while; its first line is the port's number. */
import { setTimeout as delay } from "node:timers/promises";
import { openTestPort } from "./test-port.ts";

const READS_AFTER_MS = 1500;
const SAMPLE_MS = 10;

// What the system keeps as a process's peak begins with that of the one which started it.
let peak = 0;
const sample = (): void => {
  peak = Math.max(peak, process.memoryUsage.rss());
};
setInterval(sample, SAMPLE_MS);

const { port } = await openTestPort(async (request, response) => {
  await delay(READS_AFTER_MS);
  let bytes = 0;
  for await (const part of request) {
    bytes += part.length;
    sample();
  }
  response.end(JSON.stringify({ bytes, peak }));
});
process.stdout.write(`${port.number}\n`);
