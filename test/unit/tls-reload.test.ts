import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readTlsFiles, TlsWatch } from "../../src/server/network/tls-files.ts";
import { openTestPort, type TestPort } from "../support/test-port.ts";

const SUPPORT = new URL("../support/tls/", import.meta.url);
const given = (name: string): string => new URL(name, SUPPORT).pathname;

let directory: string;
let opened: TestPort;
let watch: TlsWatch;
const logged: string[] = [];
const at = (name: string): string => path.join(directory, name);

beforeEach(async () => {
  directory = mkdtempSync(path.join(tmpdir(), "mic-tls-"));
  logged.length = 0;
  copyFileSync(given("cert.pem"), at("cert.pem"));
  copyFileSync(given("key.pem"), at("key.pem"));
  const paths = { cert: at("cert.pem"), key: at("key.pem") };
  opened = await openTestPort((_request, response) => void response.end("fine"), {}, readTlsFiles(paths));
  const note = (level: string) => () => void logged.push(level);
  watch = new TlsWatch({
    paths,
    use: (files) => opened.port.useTls(files),
    log: { info: note("info"), warn: note("warn"), error: note("error") },
    pollMs: 10,
  });
});
afterEach(async () => {
  watch[Symbol.dispose]();
  await opened[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

function shake(options: { maxVersion?: "TLSv1.1"; ALPNProtocols?: string[] } = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      {
        host: "127.0.0.1",
        port: opened.port.number,
        rejectUnauthorized: false,
        minVersion: "TLSv1",
        ...options,
      },
      () => resolve(socket),
    );
    socket.once("error", reject);
  });
}

/** The name in the certificate of a new connection. */
async function servedName(): Promise<string> {
  const socket = await shake();
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return String(subject.CN);
}

function ask(socket: TLSSocket): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once("data", (part) => resolve(String(part).slice(0, 15)));
    socket.once("error", reject);
    socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  });
}

test("a renewed certificate is used for new connections, and old ones go on", async () => {
  const before = await shake();
  expect(await ask(before)).toBe("HTTP/1.1 200 OK");
  copyFileSync(given("renewed-key.pem"), at("key.new"));
  renameSync(at("key.new"), at("key.pem"));
  copyFileSync(given("renewed-cert.pem"), at("cert.pem"));
  await expect.poll(servedName).toBe("renewed");
  expect(await ask(before)).toBe("HTTP/1.1 200 OK");
  before.destroy();
  const h2 = await shake({ ALPNProtocols: ["h2"] });
  expect(h2.alpnProtocol).toBe("h2");
  h2.destroy();
  await expect(shake({ maxVersion: "TLSv1.1" })).rejects.toThrow();
  expect(logged.at(-1)).toBe("info");
});

test("one without the other, and what is no certificate, are logged once and not used", async () => {
  copyFileSync(given("renewed-cert.pem"), at("cert.pem"));
  await expect.poll(() => logged).toEqual(["error"]);
  writeFileSync(at("cert.pem"), "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n");
  await expect.poll(() => logged).toEqual(["error", "error"]);
  rmSync(at("key.pem"));
  await expect.poll(() => logged).toEqual(["error", "error", "error"]);
  expect(await servedName()).toBe("localhost");
  copyFileSync(given("renewed-cert.pem"), at("cert.pem"));
  copyFileSync(given("renewed-key.pem"), at("key.pem"));
  await expect.poll(servedName).toBe("renewed");
});

test("files that cannot even be looked at are logged and tried again, and the server goes on", async () => {
  rmSync(at("cert.pem"));
  symlinkSync("cert.pem", at("cert.pem"));
  await expect.poll(() => logged).toEqual(["error"]);
  rmSync(at("cert.pem"));
  mkdirSync(at("cert.pem"));
  await expect.poll(() => logged).toEqual(["error", "error"]);
  expect(await servedName()).toBe("localhost");
  rmSync(at("cert.pem"), { recursive: true });
  copyFileSync(given("renewed-key.pem"), at("key.pem"));
  copyFileSync(given("renewed-cert.pem"), at("cert.pem"));
  await expect.poll(servedName).toBe("renewed");
  expect(logged.at(-1)).toBe("info");
});

test("one that could not be taken is tried again, and logged once", async () => {
  watch[Symbol.dispose]();
  logged.length = 0;
  let tries = 0;
  const note = (level: string) => () => void logged.push(level);
  watch = new TlsWatch({
    paths: { cert: at("cert.pem"), key: at("key.pem") },
    use: () => {
      if (++tries < 3) throw new Error("too many open files");
    },
    log: { info: note("info"), warn: note("warn"), error: note("error") },
    pollMs: 5,
  });
  // No look comes between.
  copyFileSync(given("renewed-key.pem"), at("key.pem"));
  copyFileSync(given("renewed-cert.pem"), at("cert.pem"));
  await expect.poll(() => logged).toEqual(["error", "info"]);
  expect(tries).toBe(3);
});

test("a directory that is swapped under the files is seen, as certbot and Kubernetes do it", async () => {
  watch[Symbol.dispose]();
  for (const [name, prefix] of [
    ["old", ""],
    ["new", "renewed-"],
  ] as const) {
    mkdirSync(at(name));
    for (const file of ["cert.pem", "key.pem"]) copyFileSync(given(prefix + file), at(`${name}/${file}`));
  }
  symlinkSync("old", at("live"));
  const used: string[] = [];
  const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
  watch = new TlsWatch({
    paths: { cert: at("live/cert.pem"), key: at("live/key.pem") },
    use: ({ cert }) => void used.push(String(cert)),
    log: quiet,
    pollMs: 10,
  });
  symlinkSync("new", at("live.new"));
  renameSync(at("live.new"), at("live"));
  await expect.poll(() => used.length).toBe(1);
  expect(used[0]).toBe(
    String(readTlsFiles({ cert: given("renewed-cert.pem"), key: given("renewed-key.pem") }).cert),
  );
});
