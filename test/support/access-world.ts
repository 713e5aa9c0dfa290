/**
 * A running server with a public and a private project, and every caller of access-expectations.ts with a token. Users
 * and roles are written into the auth database beside the server, as `mic admin --data` does.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ProjectId } from "../../src/core/base/ids.ts";
import { mintProjectId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge, Visibility } from "../../src/core/forge/forge.ts";
import { openDirectoryForge } from "../../src/core/forge/forge-directory.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import type { NewToken } from "../../src/server/auth/accounts.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import type { Role, Scope, UserId } from "../../src/server/auth/principal.ts";
import { SqliteAccounts } from "../../src/server/auth/sqlite-accounts.ts";
import { type RunningServer, startServer } from "../../src/server/serve.ts";
import type { Caller } from "./access-expectations.ts";
import { cheapPasswords } from "./cheap-passwords.ts";
import { TestProject } from "./forge-project.ts";

const OWNER_TOKEN = "mic_0123456789abcdef0123456789abcdef0123456789abcdef";

export interface AccessProject {
  readonly id: ProjectId;
  readonly org: string;
  readonly name: string;
  /** Of its owner, for it alone. */
  readonly limitedToken: string | undefined;
  /** Of an administrator of the site, for it alone. */
  readonly limitedAdminToken?: string;
}

export class AccessWorld implements AsyncDisposable {
  readonly url: string;
  readonly forge: Forge;
  readonly accounts: SqliteAccounts;
  readonly #server: RunningServer;
  readonly #database: AuthDatabase;
  readonly #directory: string;
  readonly #users = new Map<string, UserId>();
  readonly #tokens = new Map<Caller, string>();
  #count = 0;

  private constructor(server: RunningServer, forge: Forge, directory: string) {
    this.#server = server;
    this.url = server.url;
    this.forge = forge;
    this.#directory = directory;
    this.#database = new AuthDatabase({ file: join(directory, "auth", "accounts.db") });
    this.accounts = new SqliteAccounts({
      database: this.#database,
      clock: systemClock,
      random: systemRandom,
    });
  }

  static async start(): Promise<AccessWorld> {
    const directory = mkdtempSync(join(tmpdir(), "mic-access-"));
    const server = await startServer({
      // Every call comes from another address: attempts are counted for each.
      flags: { data: directory, listen: "127.0.0.1:0", rateLimit: "off", trustedProxy: "127.0.0.1" },
      world: { env: { MIC_OWNER_TOKEN: OWNER_TOKEN }, platform: "linux", isRoot: false, cwd: directory },
      clock: systemClock,
      random: systemRandom,
      version: "0.0.0-test",
      logFormat: "json",
      writeLog: () => undefined,
      passwords: cheapPasswords(),
    });
    const forge = await openRemoteForge(server.url, {
      token: OWNER_TOKEN,
      clock: systemClock,
      random: systemRandom,
    });
    const world = new AccessWorld(server, forge, directory);
    await world.#makeUsers();
    return world;
  }

  token(caller: Caller, project: AccessProject): string | undefined {
    // Where there is no project, one for any.
    switch (caller) {
      case "owner with a token for this project":
        return project.limitedToken ?? this.#tokens.get("owner with a token for another project");
      case "administrator with a token for this project":
        return project.limitedAdminToken ?? this.#tokens.get(caller);
      default:
        return this.#tokens.get(caller);
    }
  }

  /** In an organization of its own, with the roles that the callers are named for. */
  async project(visibility: Visibility): Promise<AccessProject> {
    const org = `org-${++this.#count}`;
    const name = `${org}/${visibility}`;
    const { id } = await this.forge.createProject({ id: mintProjectId(systemRandom), name, visibility });
    for (const role of ["read", "write", "owner"] as const) {
      this.accounts.setProjectRole(id, this.#users.get(`project-${role}`)!, role);
      this.accounts.setOrganizationRole(org, this.#users.get(`member-${role}`)!, role);
    }
    this.accounts.setProjectRole(id, this.#users.get("disabled")!, "owner");
    const limitedToken = this.#secretFor("project-owner", "admin", { onlyProject: id });
    const limitedAdminToken = this.#secretFor("administrator", "admin", { onlyProject: id });
    return { id, org, name, limitedToken, limitedAdminToken };
  }

  async land({ id }: AccessProject): Promise<void> {
    const text = `${++this.#count}`;
    await new TestProject(this.forge, id).land({ put: { [text]: text } });
  }

  /** The forge past the server: what another one does, or a command in the directory. */
  async elsewhere<T>(work: (forge: Forge) => Promise<T>): Promise<T> {
    const ports = { clock: systemClock, random: systemRandom };
    await using forge = await openDirectoryForge(this.#directory, { ...ports, create: false });
    return await work(forge);
  }

  user(name: string): UserId {
    return this.#users.get(name)!;
  }

  async #makeUsers(): Promise<void> {
    const names = ["stranger", "disabled"];
    for (const role of ["read", "write", "owner"] satisfies Role[])
      names.push(`project-${role}`, `member-${role}`);
    for (const name of names) this.#users.set(name, (await this.accounts.createUser({ name })).id);
    const admin = await this.accounts.createUser({ name: "administrator", isSiteAdmin: true });
    this.#users.set("administrator", admin.id);
    const other = mintProjectId(systemRandom);
    const tokens: [Caller, string][] = [
      ["stranger", this.#secretFor("stranger", "admin")],
      ["reader", this.#secretFor("project-read", "admin")],
      ["writer", this.#secretFor("project-write", "admin")],
      ["owner", this.#secretFor("project-owner", "admin")],
      ["member of the organization who reads", this.#secretFor("member-read", "admin")],
      ["member of the organization who writes", this.#secretFor("member-write", "admin")],
      ["owner of the organization", this.#secretFor("member-owner", "admin")],
      ["owner with a token to read", this.#secretFor("project-owner", "read")],
      ["owner with a token to write", this.#secretFor("project-owner", "write")],
      [
        "owner with a token for another project",
        this.#secretFor("project-owner", "admin", { onlyProject: other }),
      ],
      ["administrator of the site", this.#secretFor("administrator", "admin")],
      ["administrator with a token to read", this.#secretFor("administrator", "read")],
      [
        "administrator with a token for this project",
        this.#secretFor("administrator", "admin", { onlyProject: other }),
      ],
      ["owner with a revoked token", this.#secretFor("project-owner", "admin")],
      ["owner who is disabled", this.#secretFor("disabled", "admin")],
    ];
    for (const [caller, token] of tokens) this.#tokens.set(caller, token);
    const revoked = this.accounts.findToken(this.#tokens.get("owner with a revoked token")!, "personal");
    this.accounts.revokeToken(revoked!.id);
    this.accounts.setDisabled(this.#users.get("disabled")!, true);
  }

  #secretFor(user: string, scope: Scope, more: Partial<NewToken> = {}): string {
    const wanted = { user: this.#users.get(user)!, kind: "personal", name: "test", scope, ...more } as const;
    return this.accounts.createToken(wanted).secret;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.forge[Symbol.asyncDispose]();
    await this.#server.drain();
    this.#database[Symbol.dispose]();
    rmSync(this.#directory, { recursive: true });
  }
}
