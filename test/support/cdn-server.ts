/** A CDN for tests: answers from a store over HTTP, honestly or in one of many wrong ways. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import type { ObjectStore } from "../../src/core/store/object-store.ts";

export type CdnBehaviour =
  | "honest"
  | "flips"
  | "truncates"
  | "cuts-connection"
  | "answers-another"
  | "html-page"
  | "ignores-range"
  | "wrong-range"
  | "hangs"
  | "hangs-in-body"
  | "redirects-away"
  | "redirects-within"
  | "not-found"
  | "server-error"
  | "encoded";

export interface CdnServer extends AsyncDisposable {
  readonly url: string;
  behaviour: CdnBehaviour;
  /** Of each request that came. */
  readonly requests: { readonly path: string; readonly range: string | undefined }[];
}

export async function startCdn(
  store: ObjectStore,
  another: (key: string) => Promise<Uint8Array | undefined> = async () => undefined,
): Promise<CdnServer> {
  const state = { behaviour: "honest" as CdnBehaviour, requests: [] as CdnServer["requests"] };
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url!.replace(/\?.*/, "");
    const { range } = request.headers;
    state.requests.push({ path, range });
    const key = path.slice("/mic/".length).replace(/^again\//, "");
    const { behaviour } = state;
    if (behaviour === "hangs") return;
    if (behaviour === "server-error") return void response.writeHead(503).end("busy");
    if (behaviour === "html-page") {
      return void response.writeHead(200, { "content-type": "text/html" }).end("<h1>Sign in</h1>");
    }
    if (behaviour === "redirects-away") {
      return void response.writeHead(302, { location: `http://127.0.0.2:9/${key}` }).end();
    }
    if (behaviour === "redirects-within" && !path.startsWith("/mic/again/")) {
      return void response.writeHead(302, { location: `/mic/again/${key}` }).end();
    }
    const stored = (await store.get(key))?.bytes;
    const found = behaviour === "answers-another" ? await another(key) : stored;
    if (found === undefined || behaviour === "not-found") {
      return void response.writeHead(404).end("no such key");
    }
    const match = behaviour === "ignores-range" ? null : /^bytes=(\d+)-(\d+)$/.exec(range ?? "");
    const start = match === null ? 0 : Number(match[1]);
    const end = match === null ? found.length : Math.min(Number(match[2]) + 1, found.length);
    if (match !== null && start >= found.length) return void response.writeHead(416).end();
    const body = found.slice(start, end);
    if (behaviour === "flips") body[body.length >> 1]! ^= 1;
    const sent = behaviour === "truncates" ? body.subarray(0, body.length >> 1) : body;
    if (behaviour === "encoded") {
      const packed = gzipSync(body);
      const headers = { "content-encoding": "gzip", "content-length": packed.length };
      return void response.writeHead(200, headers).end(packed);
    }
    const shift = behaviour === "wrong-range" ? 1 : 0;
    response.writeHead(match === null ? 200 : 206, {
      "content-length": behaviour === "truncates" ? sent.length : body.length,
      "accept-ranges": "bytes",
      ...(match === null
        ? {}
        : {
            "content-range": `bytes ${start + shift}-${start + sent.length - 1 + shift}/${
              behaviour === "truncates" ? start + sent.length : found.length
            }`,
          }),
    });
    if (behaviour === "hangs-in-body" || behaviour === "cuts-connection") {
      response.write(sent.subarray(0, sent.length >> 1));
      if (behaviour === "cuts-connection") setTimeout(() => response.destroy(), 5);
      return;
    }
    response.end(sent);
  }
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/mic`,
    get behaviour() {
      return state.behaviour;
    },
    set behaviour(behaviour) {
      state.behaviour = behaviour;
    },
    requests: state.requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
