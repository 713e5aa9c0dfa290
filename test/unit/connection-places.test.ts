import { afterEach, expect, test } from "vitest";
import { ServerMetrics } from "../../src/server/metrics.ts";
import { ConnectionPlaces } from "../../src/server/network/connection-places.ts";
import { PORT_LIMITS } from "../../src/server/port/limits.ts";
import { Port } from "../../src/server/port/port.ts";
import { closed, connected, exchange } from "../support/raw-socket.ts";
import { networkOf } from "../support/server-access.ts";

let port: Port | undefined;
afterEach(() => port?.close());

test("take() gives each address so many places, and one that was given back again", () => {
  const places = new ConnectionPlaces(2, (address) => address === "10.0.0.1");
  const first = places.take("203.0.113.7");
  expect(first).toBeDefined();
  expect(places.take("203.0.113.7")).toBeDefined();
  expect(places.take("203.0.113.7")).toBeUndefined();
  expect(places.take("203.0.113.8")).toBeDefined();
  for (let i = 0; i < 10; i++) expect(places.take("10.0.0.1")).toBeDefined();
  first?.();
  expect(places.take("203.0.113.7")).toBeDefined();
  expect(places.take("203.0.113.7")).toBeUndefined();
  expect(places.take("2001:db8::1")).toBeDefined();
  expect(places.take("2001:db8::2")).toBeDefined();
  expect(places.take("2001:db8::3")).toBeUndefined();
});

test("this machine and trusted proxies are shared, and nobody else is", () => {
  const { isShared } = networkOf({ trustedProxy: "10.0.0.0/8" });
  expect(["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3"].map(isShared)).toEqual(
    Array(5).fill(true),
  );
  expect(["203.0.113.7", "", "11.0.0.1", "unknown"].map(isShared)).toEqual(Array(4).fill(false));
});

test("a port answers 503 to a connection too many of one address, until another one ends", async () => {
  const metrics = new ServerMetrics({ connections: () => 0, calls: () => 0 }, 0);
  const places = new ConnectionPlaces(3, () => false);
  const opened = await Port.listen({
    host: "127.0.0.1",
    port: 0,
    tls: undefined,
    limits: PORT_LIMITS,
    metrics,
    handler: (_request, response) => void response.end("fine"),
    onAnswered: () => undefined,
    http2: { adopt: () => undefined, drain: () => undefined },
    takePlace: (address) => places.take(address),
  });
  port = opened;
  const sockets = await Promise.all([1, 2, 3].map(() => connected(opened.number)));
  await expect.poll(() => opened.connections).toBe(3);
  const request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  expect((await exchange(opened.number, request)).statuses).toEqual([503]);
  expect(metrics.render()).toMatch(/reason="too-many-of-one"\} 1/);
  sockets[0]!.end();
  await closed(sockets[0]!);
  await expect.poll(() => opened.connections).toBe(2);
  expect((await exchange(opened.number, request)).statuses).toEqual([200]);
  for (const socket of sockets) socket.destroy();
});
