/** A process with a port whose handler reads nothing for a while; its first line is the port's number. */
import { setTimeout as delay } from "node:timers/promises";
import { openTestPort } from "./test-port.ts";

const READS_AFTER_MS = 1500;

const { port } = await openTestPort(async (request, response) => {
  await delay(READS_AFTER_MS);
  let bytes = 0;
  for await (const part of request) bytes += part.length;
  // Kilobytes, the most that this process ever had.
  response.end(JSON.stringify({ bytes, peak: process.resourceUsage().maxRSS }));
});
process.stdout.write(`${port.number}\n`);
