/**
 * Accounts of several servers, with a real Litestream and a real MinIO: a disk is deleted, servers are killed, a token
 * is revoked while streams are open.
 */
import { cpSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MIC } from "../bench/harness.ts";
import { accountsAge } from "./accounts-age.ts";
import { AccountsServer, NotStarted } from "./accounts-server.ts";
import type { Checks } from "./checks.ts";
import { buildGoTool } from "./go-tools.ts";
import { Grpcurl } from "./grpcurl.ts";
import { type ObjectServer, startObjectServer } from "./object-servers.ts";

const BUCKET = "accounts";
const PROJECT = "acme/secret";
/** What must hold after a change: seen by a follower, and gone everywhere. */
const SEEN_MS_MAX = 2_000;
const REVOKED_MS_MAX = 3_000;
/** The lease runs out after 15 s. */
const TAKEOVER_MS_MAX = 25_000;
const PASSWORD = "correct horse battery";

export async function accounts(checks: Checks): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "mic-accounts-"));
  await using objects = await startObjectServer("minio");
  await objects.makeBucket(BUCKET);
  try {
    const story = new Story(checks, directory, objects);
    await story.tell();
    await story.growOld();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

class Story {
  readonly #checks: Checks;
  readonly #directory: string;
  readonly #env: Record<string, string>;

  constructor(checks: Checks, directory: string, objects: ObjectServer) {
    this.#checks = checks;
    this.#directory = directory;
    this.#env = objects.environment(BUCKET);
  }

  async tell(): Promise<void> {
    const checks = this.#checks;
    let first = await this.#start("first");
    const owner = first.ownerToken!;
    checks.expect(
      "the first start makes an owner",
      (await first.ask("GET", "/api/mic/account", owner)).body,
      {
        name: "owner",
        isSiteAdmin: true,
      },
    );
    await first.ask("POST", "/api/mic/users", owner, { name: "ada", password: PASSWORD, siteAdmin: true });
    const kept = await this.#mint(first, owner, "kept");

    await this.#refuseSecondPrimary(first);
    const second = await this.#start("second");
    checks.expect("a follower knows what the primary has", await status(second, kept), 200);
    checks.expect("a follower makes no owner of its own", second.ownerToken, undefined);
    await this.#followWithin(first, second, owner);
    await this.#forward(first, second, owner);
    await this.#revokeEverywhere(first, second, owner);
    await this.#closeEverywhere(first, second, owner);
    await this.#killLitestream(first, owner);
    await this.#metrics(first, second, owner);
    const revoked = await this.#takeOver(first, second, owner, kept);

    const third = await this.#start("third");
    await this.#outlive(second, third, owner, kept);
    const primaries = second.logged("auth-primary");
    checks.expect("the new primary ends", await third.stop(), 0);
    // Whoever asks first takes the lease that is free.
    await until(() => Promise.resolve(second.logged("auth-primary") > primaries), TAKEOVER_MS_MAX);

    const back = await this.#start("first");
    checks.expect("the old primary comes back as a follower", back.logged("auth-follower"), 1);
    checks.expect("and knows what was revoked meanwhile", await status(back, revoked), 401);
    checks.expect("a server ends when it is told to", [await back.stop(), await second.stop()], [0, 0]);

    for (const name of ["first", "second", "third"]) rmSync(join(this.#directory, name), { recursive: true });
    first = await this.#start("fresh");
    checks.expect("with every disk deleted, tokens sign in", await status(first, kept), 200);
    checks.expect("the owner signs in", await status(first, owner), 200);
    checks.expect("no other owner was made", first.ownerToken, undefined);
    checks.expect("what was revoked stays revoked", await status(first, revoked), 401);
    const audit = await first.ask("GET", "/api/mic/audit?action=project.created", owner);
    checks.expect(
      "the audit log of the primaries before is there",
      audit.body.items
        .map(({ detail }: { detail: { name: string } }) => detail.name)
        .filter((name: string) => name === PROJECT || name === "acme/other"),
      ["acme/other", PROJECT],
    );
    const users = await first.ask("GET", "/api/mic/users", owner);
    checks.expect(
      "users are there",
      users.body.items
        .map((user: { name: string }) => user.name)
        .filter((name: string) => !name.startsWith("late-")),
      ["ada", "bob-0", "bob-1", "bob-2", "bob-3", "bob-4", "eve", "owner"],
    );
    checks.expect(
      "passwords are there",
      await first.ask("POST", "/api/mic/account/password", await this.#mint(first, owner, "x"), {
        password: PASSWORD,
      }),
      { status: 204 },
    );
    checks.expect("it ends", await first.stop(), 0);
    await this.#putBackAnOldDisk(owner);
    await this.#restoreBackup(owner);
    await this.#withoutLitestream(owner);
  }

  async growOld(): Promise<void> {
    await accountsAge(this.#checks, this.#directory, (name) =>
      this.#start(name, ["--auth-replica", `s3://${BUCKET}/old`]),
    );
  }

  #start(name: string, flags: readonly string[] = [], hasLitestream = true): Promise<AccountsServer> {
    return AccountsServer.start({
      data: join(this.#directory, name),
      env: this.#env,
      flags: [
        "--s3-bucket",
        BUCKET,
        "--s3-prefix",
        "forge",
        "--auth-replica",
        `s3://${BUCKET}/auth`,
        ...flags,
      ],
      hasLitestream,
    });
  }

  async #mint(server: AccountsServer, token: string, name: string): Promise<string> {
    const made = await server.ask("POST", "/api/mic/account/tokens", token, { name, scope: "admin" });
    if (made.status !== 201) throw new Error(`no token: ${JSON.stringify(made)}`);
    return made.body.secret;
  }

  async #refuseSecondPrimary(first: AccountsServer): Promise<void> {
    const refused = await this.#start("other", ["--auth-role", "primary"]).catch((error: unknown) => error);
    this.#checks.expect("a second primary is refused", refused instanceof NotStarted, true);
    if (refused instanceof NotStarted) {
      this.#checks.expect("with the address of the first", refused.message.includes(first.url), true);
    } else if (refused instanceof AccountsServer) {
      await refused.stop();
    }
  }

  async #followWithin(first: AccountsServer, second: AccountsServer, owner: string): Promise<void> {
    let worst = 0;
    for (let i = 0; i < 5; i++) {
      const name = `bob-${i}`;
      await first.ask("POST", "/api/mic/users", owner, { name });
      worst = Math.max(
        worst,
        await until(async () => (await second.ask("GET", `/api/mic/users/${name}`, owner)).status === 200),
      );
    }
    this.#checks.expect(
      `a follower sees a change within ${SEEN_MS_MAX} ms (${worst.toFixed(0)})`,
      worst < SEEN_MS_MAX,
      true,
    );
  }

  async #forward(first: AccountsServer, second: AccountsServer, owner: string): Promise<void> {
    const checks = this.#checks;
    const secret = await this.#mint(second, owner, "through a follower");
    checks.expect(
      "a token made through a follower works on the primary at once",
      await status(first, secret),
      200,
    );
    const ms = await until(async () => (await status(second, secret)) === 200);
    checks.expect(`and on the follower soon (${ms.toFixed(0)} ms)`, ms < SEEN_MS_MAX, true);
    const made = await second.ask("POST", "/api/mic/projects", owner, { name: PROJECT });
    checks.expect("a project made through a follower", made, { status: 201, body: { name: PROJECT } });
    const grpc = new Grpcurl(buildGoTool("grpcurl"), second.url, owner);
    checks.expect(
      "the same over gRPC",
      grpc.call("ProjectService/CreateProject", { name: "acme/other" }).status,
      "OK",
    );
    checks.expect(
      "an error of the primary comes back as it is",
      grpc.call("ProjectService/CreateProject", { name: "acme/other" }).status,
      "ALREADY_EXISTS",
    );
    const audit = await first.ask("GET", "/api/mic/audit?action=project.created", owner);
    checks.expect(
      "the primary's log has both, with the caller's address",
      audit.body.items.map((entry: { address: string }) => entry.address),
      ["127.0.0.1", "127.0.0.1"],
    );
    const throughFollower = await second.ask("GET", "/api/mic/audit?action=project.created", owner);
    checks.expect("and a follower answers with it", throughFollower.body, audit.body);
    checks.expect(
      "what the primary refuses is refused",
      (await second.ask("POST", "/api/mic/users", secret.replace(/.$/, "!"), { name: "mallory" })).status,
      401,
    );
  }

  async #revokeEverywhere(first: AccountsServer, second: AccountsServer, owner: string): Promise<void> {
    const checks = this.#checks;
    const token = await this.#mint(first, owner, "to be revoked");
    await until(async () => (await status(second, token)) === 200);
    const { id } = (await first.ask("GET", "/api/mic/account", token)).body.token;
    const path = `/api/mic/projects/${encodeURIComponent(PROJECT)}/landings/events`;
    const streams = [first, second].flatMap((server) => [
      eventStream(server.url + path, token),
      grpcStream(server.url, token),
    ]);
    await Bun.sleep(500);
    checks.expect("streams are open", (await Promise.all(streams.map(isOver))).some(Boolean), false);
    const began = performance.now();
    checks.expect(
      "a revocation",
      (await first.ask("DELETE", `/api/mic/account/tokens/${id}`, owner)).status,
      204,
    );
    const answered = performance.now() - began;
    const gone = await until(
      async () => (await status(first, token)) === 401 && (await status(second, token)) === 401,
    );
    await Promise.race([Promise.all(streams), Bun.sleep(10_000)]);
    const ended = performance.now() - began;
    const isEnded = (await Promise.all(streams.map(isOver))).every(Boolean);
    checks.expect(
      `is answered when it is durable (${answered.toFixed(0)} ms)`,
      answered < REVOKED_MS_MAX,
      true,
    );
    checks.expect(`stops the token everywhere (${gone.toFixed(0)} ms later)`, gone < REVOKED_MS_MAX, true);
    checks.expect(
      `and ends SSE and gRPC streams on both servers (${ended.toFixed(0)} ms)`,
      isEnded && ended < REVOKED_MS_MAX,
      true,
    );
  }

  /** Nobody's role changes: only the store knows. */
  async #closeEverywhere(first: AccountsServer, second: AccountsServer, owner: string): Promise<void> {
    const checks = this.#checks;
    const made = await first.ask("POST", "/api/mic/projects", owner, {
      name: "acme/open",
      visibility: "public",
    });
    const path = `/api/mic/projects/${made.body.id}`;
    const streams = [first, second].map((server) => eventStream(`${server.url}${path}/landings/events`));
    await Bun.sleep(500);
    checks.expect(
      "streams of nobody are open",
      (await Promise.all(streams.map(isOver))).some(Boolean),
      false,
    );
    const began = performance.now();
    await first.ask("PATCH", path, owner, { visibility: "private" });
    await Promise.race([Promise.all(streams), Bun.sleep(10_000)]);
    const ended = performance.now() - began;
    const isEnded = (await Promise.all(streams.map(isOver))).every(Boolean);
    checks.expect(
      `a project that becomes private ends them on both servers (${ended.toFixed(0)} ms)`,
      isEnded && ended < REVOKED_MS_MAX,
      true,
    );
  }

  async #killLitestream(first: AccountsServer, owner: string): Promise<void> {
    const before = first.litestreamPid;
    process.kill(before, "SIGKILL");
    const token = await this.#mint(first, owner, "while litestream is dead");
    const { id } = (await first.ask("GET", "/api/mic/account", token)).body.token;
    const revoked = await first.ask("DELETE", `/api/mic/account/tokens/${id}`, owner);
    this.#checks.expect("a revocation waits for a Litestream that was killed", revoked.status, 204);
    this.#checks.expect("which was started again", first.litestreamPid !== before, true);
  }

  async #metrics(first: AccountsServer, second: AccountsServer, owner: string): Promise<void> {
    const text = (await first.ask("GET", "/metrics", owner)).body as string;
    const value = (sample: string): number =>
      Number(
        text
          .split("\n")
          .find((line) => line.startsWith(`${sample} `))
          ?.slice(sample.length + 1),
      );
    this.#checks.expect(
      "metrics tell of the replica",
      [value('mic_replica_role{role="primary"}'), value("mic_replica_restarts_total") > 0],
      [1, true],
    );
    this.#checks.expect("lag is in seconds", value("mic_replica_lag_seconds") < 5, true);
    this.#checks.expect("a follower is ready", (await second.ask("GET", "/readyz", undefined)).status, 200);
  }

  /** Returns a token that the old primary revoked right before it was killed. */
  async #takeOver(
    first: AccountsServer,
    second: AccountsServer,
    owner: string,
    kept: string,
  ): Promise<string> {
    const checks = this.#checks;
    const token = await this.#mint(first, owner, "revoked last");
    await first.ask("POST", "/api/mic/users", owner, { name: "eve" });
    const { id } = (await first.ask("GET", "/api/mic/account", token)).body.token;
    await first.ask("DELETE", `/api/mic/account/tokens/${id}`, owner);
    await first.kill();
    const refused = await second.ask("POST", "/api/mic/users", owner, { name: "too-early" });
    checks.expect("without a primary accounts cannot be changed", refused, {
      status: 503,
      body: { code: "unreachable" },
    });
    const ms = await until(() => Promise.resolve(second.logged("auth-primary") > 0), TAKEOVER_MS_MAX);
    checks.expect(`the follower takes over (${(ms / 1000).toFixed(1)} s)`, ms < TAKEOVER_MS_MAX, true);
    await until(async () => (await status(second, kept)) === 200);
    checks.expect("what was acknowledged is there", await status(second, token), 401);
    checks.expect("and users", (await second.ask("GET", "/api/mic/users/eve", owner)).status, 200);
    const made = await this.#mint(second, owner, "by the new primary");
    checks.expect("the new primary makes tokens", await status(second, made), 200);
    return token;
  }

  /** A primary that was suspended past the end of its lease, and wakes up with calls at hand. */
  async #outlive(primary: AccountsServer, other: AccountsServer, owner: string, kept: string): Promise<void> {
    const checks = this.#checks;
    primary.pause();
    await until(() => Promise.resolve(other.logged("auth-primary") > 0), TAKEOVER_MS_MAX);
    checks.expect("another server takes over from one that is suspended", other.logged("auth-primary"), 1);
    const token = await this.#mint(other, owner, "revoked while it slept");
    const { id } = (await other.ask("GET", "/api/mic/account", token)).body.token;
    await other.ask("DELETE", `/api/mic/account/tokens/${id}`, owner);
    // They are there when it wakes up.
    const calls = Array.from({ length: 8 }, (_, i) =>
      primary.ask("POST", "/api/mic/users", owner, { name: `late-${i}` }),
    );
    await Bun.sleep(200);
    primary.resume();
    const made = (await Promise.all(calls)).map(({ status: answered }) => answered === 201);
    await Bun.sleep(SEEN_MS_MAX);
    const kept201 = await Promise.all(
      made.map(async (isMade, i) => {
        const there = (await other.ask("GET", `/api/mic/users/late-${i}`, owner)).status === 200;
        return isMade === there;
      }),
    );
    checks.expect(
      "what a primary of the past acknowledged is there, and nothing else",
      kept201.includes(false),
      false,
    );
    checks.expect("it knows what was revoked meanwhile", await status(primary, token), 401);
    checks.expect(
      "and follows",
      [await status(primary, kept), primary.logged("auth-primary-lost")],
      [200, 1],
    );
  }

  async #putBackAnOldDisk(owner: string): Promise<void> {
    const data = join(this.#directory, "fresh");
    const old = join(this.#directory, "old");
    cpSync(data, old, { recursive: true });
    const server = await this.#start("fresh");
    await server.ask("POST", "/api/mic/users", owner, { name: "later" });
    await server.stop();
    rmSync(data, { recursive: true });
    renameSync(old, data);
    await using again = await this.#start("fresh");
    const found = await again.ask("GET", "/api/mic/users/later", owner);
    this.#checks.expect("an old copy of the disk does not win over the replica", found.status, 200);
    await again.stop();
  }

  async #restoreBackup(owner: string): Promise<void> {
    const checks = this.#checks;
    const data = join(this.#directory, "fresh");
    const file = join(this.#directory, "backup.tar");
    const server = await this.#start("fresh");
    const env = { ...process.env, ...this.#env };
    const backup = Bun.spawnSync([MIC, "admin", "backup", file, "--data", data], { env });
    checks.expect("a backup while it serves", backup.exitCode, 0);
    await server.ask("POST", "/api/mic/users", owner, { name: "after-the-backup" });
    await server.stop();
    rmSync(data, { recursive: true });
    const restore = Bun.spawnSync([MIC, "admin", "restore", file, "--data", data], { env });
    checks.expect("is restored", restore.exitCode, 0);
    await using again = await this.#start("fresh");
    const answered = async (name: string): Promise<number> =>
      (await again.ask("GET", `/api/mic/users/${name}`, owner)).status;
    checks.expect(
      "and takes the place of what is in the replica",
      [await answered("later"), await answered("after-the-backup")],
      [200, 404],
    );
    await using follower = await this.#start("follower");
    const seen = await follower.ask("GET", "/api/mic/users/after-the-backup", owner);
    checks.expect("for followers too", seen.status, 404);
    const flags = ["--data", data, "--s3-bucket", BUCKET, "--auth-replica", `s3://${BUCKET}/auth`, "--json"];
    const doctor = Bun.spawnSync([MIC, "admin", "doctor", ...flags], {
      env: { ...env, MIC_LITESTREAM: buildGoTool("litestream") },
    });
    checks.expect("the doctor finds nothing wrong", JSON.parse(doctor.stdout.toString()), { healthy: true });
    await follower.stop();
    await again.stop();
  }

  async #withoutLitestream(owner: string): Promise<void> {
    const checks = this.#checks;
    const refused = await this.#start("fourth", [], false).catch((error: unknown) => error);
    checks.expect(
      "without Litestream, accounts that are in the replica alone are asked for by name",
      refused instanceof NotStarted && /Litestream.*not installed/.test(refused.message),
      true,
    );
    const flags = ["--auth-replica", `s3://${BUCKET}/fresh`];
    await using server = await this.#start("fifth", flags, false);
    checks.expect("a new server starts, and says what to install", server.logged("litestream-missing"), 1);
    checks.expect("it makes its owner", await status(server, server.ownerToken!), 200);
    checks.expect("and knows nobody else's", await status(server, owner), 401);
    for (const hasLitestream of [true, false]) {
      const second = await this.#start("sixth", [...flags, "--auth-role", "primary"], hasLitestream).catch(
        (error: unknown) => error,
      );
      checks.expect(
        `no other server makes accounts there, ${hasLitestream ? "with" : "without"} Litestream`,
        second instanceof NotStarted && second.message.includes(server.url),
        true,
      );
      if (second instanceof AccountsServer) await second.stop();
    }
    await server.stop();
    await this.#loseLitestream(owner);
  }

  /** As in an upgrade. */
  async #loseLitestream(owner: string): Promise<void> {
    const checks = this.#checks;
    await using server = await this.#start("fresh", [], false);
    checks.expect("a primary that lost its Litestream serves accounts", await status(server, owner), 200);
    const refused = await server.ask("POST", "/api/mic/users", owner, { name: "unheard-of" });
    checks.expect("and changes none", refused, { status: 503, body: { code: "unreachable" } });
    await using follower = await this.#start("follower");
    checks.expect("others follow it", await status(follower, owner), 200);
    await Bun.sleep(TAKEOVER_MS_MAX - 5_000);
    checks.expect("and do not take over from it", follower.logged("auth-primary"), 0);
    checks.expect("it ends", await server.stop(), 0);
    await until(() => Promise.resolve(follower.logged("auth-primary") > 0), TAKEOVER_MS_MAX);
    const made = await until(
      async () => (await follower.ask("POST", "/api/mic/users", owner, { name: "heard-of" })).status === 201,
    );
    checks.expect(`until it is gone (${made.toFixed(0)} ms)`, made < SEEN_MS_MAX, true);
    await follower.stop();
  }
}

async function status(server: AccountsServer, token: string): Promise<number> {
  return (await server.ask("GET", "/api/mic/account", token)).status;
}

/** Milliseconds until it holds. */
async function until(holds: () => Promise<boolean>, limitMs = 15_000): Promise<number> {
  const began = performance.now();
  while (!(await holds()) && performance.now() - began < limitMs) await Bun.sleep(10);
  return performance.now() - began;
}

/** Resolves when the server ends it. */
async function eventStream(url: string, token?: string): Promise<void> {
  const response = await fetch(url, {
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      accept: "text/event-stream",
    },
  });
  if (response.status !== 200) throw new Error(`${url} answered ${response.status}`);
  for await (const _part of response.body!) {
    // Events are not what it is about.
  }
}

/** The same over gRPC. */
async function grpcStream(url: string, token: string): Promise<void> {
  const child = Bun.spawn(
    [
      buildGoTool("grpcurl"),
      "-plaintext",
      "-H",
      `authorization: Bearer ${token}`,
      "-d",
      JSON.stringify({ project: PROJECT }),
      new URL(url).host,
      "mic.v1.ContentService/WatchLandings",
    ],
    { stdin: "ignore", stdout: "ignore", stderr: "ignore" },
  );
  await child.exited;
}

function isOver(stream: Promise<void>): Promise<boolean> {
  return Promise.race([
    stream.then(
      () => true,
      () => true,
    ),
    Bun.sleep(0).then(() => false),
  ]);
}
