/**
 * A TCP proxy that delays every byte by half of a round trip in each direction, without limiting how much is
 * on its way. A process of its own, so that it takes no time from what is measured.
 *
 *   bun scripts/bench/delay-proxy.ts TARGET_PORT ROUND_TRIP_MS      prints the port that it listens on
 */
import { connect, createServer, type Socket } from "node:net";

/** As much as a fast link of 30 ms holds; beyond it the sender waits, as with TCP's own window. */
const IN_FLIGHT_BYTES_MAX = 64 << 20;

const target = Number(process.argv[2]);
const delayMs = Number(process.argv[3]) / 2;

function relay(from: Socket, to: Socket): void {
  let inFlight = 0;
  let last: Promise<void> = Promise.resolve();
  const later = (action: () => void): void => {
    const due = performance.now() + delayMs;
    last = last.then(async () => {
      const wait = due - performance.now();
      if (wait > 0) await Bun.sleep(wait);
      action();
    });
  };
  from.on("data", (bytes) => {
    inFlight += bytes.length;
    if (inFlight > IN_FLIGHT_BYTES_MAX) from.pause();
    later(() => {
      inFlight -= bytes.length;
      if (inFlight <= IN_FLIGHT_BYTES_MAX) from.resume();
      if (to.destroyed) return;
      if (!to.write(bytes)) {
        from.pause();
        to.once("drain", () => from.resume());
      }
    });
  });
  from.on("end", () => later(() => to.end()));
  from.on("error", () => to.destroy());
  from.on("close", () => later(() => to.destroy()));
}

const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
  const upstream = connect({ port: target, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
  relay(client, upstream);
  relay(upstream, client);
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  console.log(address.port);
});
