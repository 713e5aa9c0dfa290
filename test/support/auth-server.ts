/** The OAuth endpoints and the pages on a socket, over a real auth database, with a visitor that has a cookie jar. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemRandom } from "../../src/core/base/system.ts";
import type { AuditEntry } from "../../src/server/auth/audit.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { LOCAL_DURABILITY } from "../../src/server/auth/durability.ts";
import { createAuthServices } from "../../src/server/auth/oauth/auth-services.ts";
import { createAuthHandler } from "../../src/server/auth/oauth/handler.ts";
import { SqliteAccounts } from "../../src/server/auth/sqlite-accounts.ts";
import { createNetwork, type Network } from "../../src/server/network/network.ts";
import { readNetworkSettings } from "../../src/server/network/network-options.ts";
import type { Outbound } from "../../src/server/network/outbound.ts";
import { cheapPasswords } from "./cheap-passwords.ts";
import { VirtualClock } from "./virtual-clock.ts";

export const PASSWORD = "correct horse battery staple";

export interface AuthServerOptions {
  readonly publicUrl?: string;
  readonly outbound?: Outbound;
}

export class AuthServer implements AsyncDisposable {
  readonly url: string;
  readonly clock = new VirtualClock();
  readonly audit: AuditEntry[] = [];
  readonly errors: unknown[] = [];
  readonly database: AuthDatabase;
  readonly accounts: SqliteAccounts;
  readonly #server: Server;
  readonly #directory: string;

  private constructor(server: Server, options: AuthServerOptions) {
    this.#server = server;
    this.#directory = mkdtempSync(join(tmpdir(), "mic-oauth-"));
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { clock } = this;
    this.database = new AuthDatabase({ file: join(this.#directory, "accounts.db") });
    const passwords = cheapPasswords();
    this.accounts = new SqliteAccounts({ database: this.database, clock, random: systemRandom, passwords });
    const network: Network = createNetwork({
      settings: readNetworkSettings({ trustedProxy: "127.0.0.1" }, {}),
      listenHost: "127.0.0.1",
      hasTls: false,
      publicUrl: options.publicUrl,
      clock,
    });
    const services = createAuthServices({
      database: this.database,
      context: {
        accounts: this.accounts,
        audit: {
          record: (entry) => void this.audit.push(entry),
          list: () => ({ records: [], next: undefined }),
        },
        clock,
        random: systemRandom,
        log: {
          info: () => undefined,
          warn: () => undefined,
          error: (_event, fields) => void this.errors.push(fields),
        },
        durability: LOCAL_DURABILITY,
        network: { ...network, ...(options.outbound === undefined ? {} : { outbound: options.outbound }) },
      },
    });
    const handle = createAuthHandler(services);
    server.on("request", (request, response) => {
      if (!handle(request, response)) response.writeHead(404).end();
    });
  }

  static async start(options: AuthServerOptions = {}): Promise<AuthServer> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const started = new AuthServer(server, options);
    await started.accounts.createUser({ name: "alice", email: "alice@example.com", password: PASSWORD });
    return started;
  }

  /** Sends the form of an OAuth endpoint. */
  async post(
    path: string,
    fields: Readonly<Record<string, string>>,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly status: number; readonly headers: Headers; readonly body: Record<string, unknown> }> {
    const answer = await fetch(this.url + path, {
      method: "POST",
      body: new URLSearchParams(fields),
      headers,
    });
    return {
      status: answer.status,
      headers: answer.headers,
      body: (await answer.json()) as Record<string, unknown>,
    };
  }

  async pass(durationMs: number): Promise<void> {
    await this.clock.run(this.clock.sleep(durationMs));
  }

  actions(): string[] {
    return this.audit.map(
      ({ principal, action, target }) => `${principal.account || "-"} ${action} ${target.split(":", 1)[0]}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    this.accounts[Symbol.dispose]();
    this.database[Symbol.dispose]();
    rmSync(this.#directory, { recursive: true });
  }
}

export interface Shown {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** A browser without a screen: cookies, and the hidden fields of the last page. */
export class Visitor {
  readonly #base: string;
  readonly cookies = new Map<string, string>();
  readonly #headers: Readonly<Record<string, string>>;
  shown: Shown = { status: 0, headers: new Headers(), text: "" };

  constructor(base: string, headers: Readonly<Record<string, string>> = {}) {
    this.#base = base;
    this.#headers = headers;
  }

  async get(path: string): Promise<Shown> {
    return await this.#ask(path, { method: "GET" });
  }

  /** Fields of the page are sent along. */
  async post(
    path: string,
    fields: Readonly<Record<string, string>>,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Shown> {
    const body = new URLSearchParams({ ...this.hidden(), ...fields });
    return await this.#ask(path, { method: "POST", body, headers: { origin: this.#base, ...headers } });
  }

  async logIn(name = "alice", password = PASSWORD): Promise<Shown> {
    await this.get("/login");
    return await this.post("/login", { login: name, password });
  }

  hidden(): Record<string, string> {
    const fields: Record<string, string> = {};
    const main = this.shown.text.slice(this.shown.text.indexOf("<main>"));
    for (const [, name, value] of main.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)) {
      fields[name!] = unescapeHtml(value!);
    }
    return fields;
  }

  async #ask(
    path: string,
    init: RequestInit & { readonly headers?: Readonly<Record<string, string>> },
  ): Promise<Shown> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const answer = await fetch(this.#base + path, {
      ...init,
      redirect: "manual",
      headers: { ...this.#headers, ...init.headers, ...(cookie === "" ? {} : { cookie }) },
    });
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)!;
      if (/Max-Age=0/.test(line)) this.cookies.delete(name!);
      else this.cookies.set(name!, value!);
    }
    this.shown = { status: answer.status, headers: answer.headers, text: await answer.text() };
    return this.shown;
  }
}

export function unescapeHtml(text: string): string {
  return text
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&");
}

/** Where an approved or refused page goes on to. */
export function goesTo({ text }: Shown): URL {
  const found = /<meta http-equiv="refresh" content="0;url=([^"]*)">/.exec(text);
  if (found === null) throw new Error(`the page goes nowhere: ${text}`);
  return new URL(unescapeHtml(found[1]!));
}
