/**
 * Signing in with a real browser: Debian's Chromium on the pages of the built binary, while `mic auth login` waits.
 * With MIC_SCREENS=DIRECTORY every page is kept as a picture, wide and narrow, light and dark.
 */
import { Database } from "bun:sqlite";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { MIC } from "../bench/harness.ts";
import { type ServedForge, serve } from "../bench/server.ts";
import type { Checks } from "./checks.ts";

const PASSWORD = "a password for the browser";
const DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code";
const LOGIN_SECONDS_MAX = 60;
/** Exit code of the command line: not signed in, or not allowed. */
const REFUSED = 4;

export async function browser(checks: Checks): Promise<void> {
  const executablePath = Bun.which("chromium");
  if (executablePath === null) throw new Error("Chromium is not installed: apt-get install chromium");
  const directory = mkdtempSync(join(tmpdir(), "mic-browser-"));
  try {
    const data = join(directory, "data");
    await using server = await serve({ data });
    await makeUser(server, "alice");
    const sandbox = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
    const chrome = await chromium.launch({ executablePath, args: sandbox });
    try {
      const visit = new Visit(server, chrome, directory, checks);
      await visit.approves();
      await visit.denies();
      await visit.refusesOtherCodes(join(data, "auth", "accounts.db"));
      await visit.refusesOtherSites();
      await visit.goesBackToAProgram();
      await visit.signsOut();
      await visit.keepsScreens();
    } finally {
      await chrome.close();
    }
    checks.expect("the server ends when it is told to", await server.stop(), 0);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Device {
  readonly device_code: string;
  readonly user_code: string;
  readonly verification_uri: string;
  readonly verification_uri_complete: string;
}

class Visit {
  readonly #server: ServedForge;
  readonly #chrome: Browser;
  readonly #directory: string;
  readonly #checks: Checks;

  constructor(server: ServedForge, chrome: Browser, directory: string, checks: Checks) {
    this.#server = server;
    this.#chrome = chrome;
    this.#directory = directory;
    this.#checks = checks;
  }

  /** From the command to the page, through signing in, and back to the command. */
  async approves(): Promise<void> {
    await using tab = await this.#open();
    const { page } = tab;
    const command = this.#login("approved");
    const { page: address, code } = await command.shown;
    await page.goto(address);
    await signIn(page, "alice", "a wrong password");
    const alert = page.getByRole("alert");
    this.#checks.expect("a wrong password is refused on the page", await alert.textContent(), /is wrong/);
    const field = page.getByLabel("Password");
    this.#checks.expect(
      "the refusal is tied to the field",
      await field.getAttribute("aria-describedby"),
      await alert.getAttribute("id"),
    );
    await signIn(page, "alice", PASSWORD);
    await page.getByLabel("Code").fill(code.toLowerCase());
    await page.keyboard.press("Enter");
    this.#checks.expect("the page shows the code again", await page.locator(".code").textContent(), code);
    const text = (await page.locator("dl").textContent()) ?? "";
    this.#checks.expect("the page says where it was asked from", text.includes("127.0.0.1"), true);
    await page.getByRole("button", { name: "Approve" }).click();
    this.#checks.expect("the page says that it is done", await heading(page), "Approved");
    const { code: exit, stdout } = await command.ended;
    this.#checks.expect("mic auth login ends well", exit, 0);
    this.#checks.expect("mic auth login says who signed in", JSON.parse(stdout), {
      server: this.#server.url,
      account: "alice",
      scope: "write",
    });
    this.#checks.expect("no page broke its own rules", tab.violations, []);
    await page.goto(`${this.#server.url}/device?user_code=${code}`);
    this.#checks.expect("a used code is refused", await page.getByRole("alert").textContent(), /was used/);
  }

  async denies(): Promise<void> {
    await using tab = await this.#open();
    const { page } = tab;
    const command = this.#login("denied");
    const { page: address, code } = await command.shown;
    await page.goto(`${address}?user_code=${code}`);
    await signIn(page, "alice", PASSWORD);
    await page.getByRole("button", { name: "Deny" }).click();
    this.#checks.expect("the page says that it was denied", await heading(page), "Denied");
    const { code: exit } = await command.ended;
    this.#checks.expect("mic auth login ends as refused", exit, REFUSED);
  }

  /** `database`: where a code is made older than it is. */
  async refusesOtherCodes(database: string): Promise<void> {
    await using tab = await this.#open();
    const { page } = tab;
    await page.goto(`${this.#server.url}/device`);
    await signIn(page, "alice", PASSWORD);
    await page.getByLabel("Code").fill("BBBB-BBBB");
    await page.getByRole("button", { name: "Continue" }).click();
    this.#checks.expect("a wrong code is refused", await page.getByRole("alert").textContent(), /is wrong/);

    const expired = await this.#startDevice();
    await page.goto(expired.verification_uri_complete);
    using sql = new Database(database);
    sql.run("PRAGMA busy_timeout = 5000");
    sql.run("UPDATE device_codes SET expires_at = 1 WHERE user_code = ?", [
      expired.user_code.replace("-", ""),
    ]);
    await page.getByRole("button", { name: "Approve" }).click();
    this.#checks.expect("an expired code is refused", await page.getByRole("alert").textContent(), /expired/);
    this.#checks.expect("and gives nothing", await this.#poll(expired), { error: "expired_token" });

    const replayed = await this.#startDevice();
    await page.goto(replayed.verification_uri_complete);
    await page.getByLabel("Read", { exact: false }).first().check();
    await page.getByRole("button", { name: "Approve" }).click();
    await heading(page);
    this.#checks.expect("the scope is what was chosen", await this.#poll(replayed), { scope: "read" });
    this.#checks.expect("a code gives tokens once", await this.#poll(replayed), { error: "invalid_grant" });
  }

  /** Pages of another site, and of another port of this host, to which the browser sends the same cookies. */
  async refusesOtherSites(): Promise<void> {
    await using tab = await this.#open();
    const { page } = tab;
    await page.goto(`${this.#server.url}/device`);
    await signIn(page, "alice", PASSWORD);
    const device = await this.#startDevice();
    using other = Bun.serve({
      port: 0,
      fetch: ({ url }) => {
        const body = url.endsWith("/frame")
          ? `<iframe src="${device.verification_uri_complete}"></iframe>`
          : `<form method="post" action="${device.verification_uri}"><input name="user_code" value="${device.user_code}">
             <input name="decision" value="approve"><input name="csrf" value="x"><button>Win a prize</button></form>`;
        return new Response(`<!doctype html><title>Other</title>${body}`, {
          headers: { "content-type": "text/html", "referrer-policy": "unsafe-url" },
        });
      },
    });
    for (const host of ["localhost", "127.0.0.1"]) {
      await page.goto(`http://${host}:${other.port}/`);
      const answered = page.waitForResponse((each) => each.url() === device.verification_uri);
      await page.getByRole("button").click();
      this.#checks.expect(`a form of ${host}:OTHER is refused`, (await answered).status(), 403);
    }
    await page.goto(`http://localhost:${other.port}/frame`);
    const frame = page.frames()[1];
    await frame?.waitForLoadState().catch(() => undefined);
    this.#checks.expect("no page can be framed", frame?.url().startsWith("chrome-error:"), true);
    this.#checks.expect("nothing was approved", await this.#poll(device), { error: "authorization_pending" });
  }

  /** An authorization code, with PKCE, for a program on this machine. */
  async goesBackToAProgram(): Promise<void> {
    await using tab = await this.#open();
    const { page } = tab;
    const { promise: called, resolve } = Promise.withResolvers<URL>();
    using program = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request) => {
        resolve(new URL(request.url));
        return new Response("done");
      },
    });
    const verifier = "v".repeat(50);
    const redirect = `http://127.0.0.1:${program.port}/callback`;
    const query = new URLSearchParams({
      response_type: "code",
      client_id: "mic-cli",
      redirect_uri: redirect,
      code_challenge: new Bun.CryptoHasher("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
      state: "a & b",
    });
    await page.goto(`${this.#server.url}/oauth/authorize?${query}`);
    await signIn(page, "alice", PASSWORD);
    await page.getByRole("button", { name: "Approve" }).click();
    const back = await called;
    this.#checks.expect("the state comes back", back.searchParams.get("state"), "a & b");
    this.#checks.expect("the issuer comes with it", back.searchParams.get("iss"), this.#server.url);
    const fields = {
      grant_type: "authorization_code",
      client_id: "mic-cli",
      code: back.searchParams.get("code") ?? "",
      redirect_uri: redirect,
      code_verifier: verifier,
    };
    const given = await this.#ask("/oauth/token", fields);
    this.#checks.expect("the code gives tokens", given, { token_type: "Bearer", scope: "write" });
    const account = async () =>
      (
        await fetch(`${this.#server.url}/api/mic/account`, {
          headers: { authorization: `Bearer ${given["access_token"]}` },
        })
      ).status;
    this.#checks.expect("they are good", await account(), 200);
    this.#checks.expect("the code again gives none", await this.#ask("/oauth/token", fields), {
      error: "invalid_grant",
    });
    this.#checks.expect("and ends those of the first time", await account(), 401);
    this.#checks.expect("no page broke its own rules on the way", tab.violations, []);
  }

  async signsOut(): Promise<void> {
    await using tab = await this.#open();
    const { page } = tab;
    await page.goto(`${this.#server.url}/login`);
    await signIn(page, "alice", PASSWORD);
    const [cookie] = await page.context().cookies();
    this.#checks.expect("the cookie is not for scripts or other sites", cookie, {
      httpOnly: true,
      sameSite: "Lax",
    });
    await page.getByRole("button", { name: "Sign out alice" }).click();
    this.#checks.expect("signing out says so", await heading(page), "You are signed out");
    await page.goto(`${this.#server.url}/device`);
    this.#checks.expect("and the next page asks to sign in", await heading(page), "Sign in");
  }

  async keepsScreens(): Promise<void> {
    const directory = process.env["MIC_SCREENS"];
    if (directory === undefined) return;
    mkdirSync(directory, { recursive: true });
    for (const [size, width, height] of [
      ["wide", 1280, 800],
      ["narrow", 390, 844],
    ] as const) {
      for (const colorScheme of ["light", "dark"] as const) {
        await using tab = await this.#open({ viewport: { width, height }, colorScheme });
        const { page } = tab;
        const keep = (name: string) =>
          page.screenshot({ path: join(directory, `${name}-${size}-${colorScheme}.png`), fullPage: true });
        const device = await this.#startDevice("admin");
        await page.goto(device.verification_uri_complete);
        await keep("1-sign-in");
        await signIn(page, "alice", "wrong");
        await keep("2-sign-in-refused");
        await signIn(page, "alice", PASSWORD);
        await keep("3-approve");
        await page.getByRole("button", { name: "Approve" }).click();
        await keep("4-approved");
        await page.goto(device.verification_uri);
        await keep("5-code");
        await page.goto(device.verification_uri_complete);
        await keep("6-code-refused");
        await page.goto(`${this.#server.url}/oauth/authorize?client_id=nobody`);
        await keep("7-error");
        await page.goto(`${this.#server.url}/login`);
        await keep("8-signed-in");
      }
    }
  }

  async #open(options: Parameters<Browser["newContext"]>[0] = {}): Promise<Tab> {
    const context = await this.#chrome.newContext(options);
    return new Tab(context, await context.newPage());
  }

  #login(home: string): LoginCommand {
    const { url } = this.#server;
    const { MIC_TOKEN: _token, MIC_SERVER: _server, ...env } = process.env;
    const child = Bun.spawn([MIC, "auth", "login", "--server", url, "--json", "--no-color"], {
      cwd: this.#directory,
      env: { ...env, MIC_HOME: join(this.#directory, home) },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), LOGIN_SECONDS_MAX * 1000);
    return {
      shown: readShown(child.stderr),
      ended: (async () => {
        const stdout = await new Response(child.stdout).text();
        const code = await child.exited;
        clearTimeout(timer);
        return { code, stdout };
      })(),
    };
  }

  async #startDevice(scope = "write"): Promise<Device> {
    return (await this.#ask("/oauth/device", { client_id: "mic-cli", scope })) as unknown as Device;
  }

  #poll({ device_code }: Device): Promise<Record<string, unknown>> {
    return this.#ask("/oauth/token", { grant_type: DEVICE_GRANT, client_id: "mic-cli", device_code });
  }

  async #ask(path: string, fields: Readonly<Record<string, string>>): Promise<Record<string, unknown>> {
    const answer = await fetch(this.#server.url + path, {
      method: "POST",
      body: new URLSearchParams(fields),
    });
    return (await answer.json()) as Record<string, unknown>;
  }
}

interface LoginCommand {
  readonly shown: Promise<{ readonly page: string; readonly code: string }>;
  readonly ended: Promise<{ readonly code: number; readonly stdout: string }>;
}

class Tab implements AsyncDisposable {
  readonly page: Page;
  /** What the browser said about the page's own policy. */
  readonly violations: string[] = [];
  readonly #context: BrowserContext;

  constructor(context: BrowserContext, page: Page) {
    this.#context = context;
    this.page = page;
    page.on("console", (message) => {
      if (/Content Security Policy|Refused/.test(message.text())) this.violations.push(message.text());
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#context.close();
  }
}

async function signIn(page: Page, name: string, password: string): Promise<void> {
  await page.getByLabel("Name or e-mail").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

async function heading(page: Page): Promise<string | null> {
  return await page.getByRole("heading").textContent();
}

/** What the command tells its user to do. */
async function readShown(
  stderr: ReadableStream<Uint8Array>,
): Promise<{ readonly page: string; readonly code: string }> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const part of stderr) {
    text += decoder.decode(part, { stream: true });
    const page = /(https?:\/\/\S+\/device)\b/.exec(text)?.[1];
    const code = /\b([A-Z]{4}-[A-Z]{4})\b/.exec(text)?.[1];
    if (page !== undefined && code !== undefined) return { page, code };
  }
  throw new Error(`mic auth login shows no code: ${text}`);
}

async function makeUser({ url, token }: ServedForge, name: string): Promise<void> {
  const answer = await fetch(`${url}/api/mic/users`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ name, password: PASSWORD }),
  });
  if (answer.status !== 201) throw new Error(`no user: ${answer.status} ${await answer.text()}`);
}
