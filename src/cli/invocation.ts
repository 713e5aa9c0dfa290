/** One run of one command: the options that every command takes, and what it can open. */
import { readFileSync, realpathSync, statSync } from "node:fs";
import path from "node:path";
import { MicError } from "../core/base/errors.ts";
import { type Position, type ProjectId, toPosition } from "../core/base/ids.ts";
import { systemClock, systemRandom } from "../core/base/system.ts";
import type { Forge } from "../core/forge/forge.ts";
import type { TokenSource } from "../core/remote/channel.ts";
import type { RestClient } from "../core/remote/rest-client.ts";
import type { WorkspaceContext } from "../core/workspace/context.ts";
import type { Workspace } from "../core/workspace/workspace.ts";
import type { AccountClient } from "./account/account-client.ts";
import { type AddressContext, type ProjectAddress, resolveForge, resolveProject } from "./address.ts";
import { isBucketAddress } from "./bucket-address.ts";
import { type ConfigValues, configPath, homeDirectory, loadConfig } from "./config.ts";
import { listCredentials, readCredential } from "./credentials.ts";
import { usageError } from "./errors.ts";
import { accountAuthor, checkAgent, resolveAuthor } from "./identity.ts";
import type { Output } from "./output.ts";
import { type PositionSpec, resolvePosition } from "./positions.ts";
import type { FoundToken } from "./server-token.ts";
import { isPrivateOrigin, isServerUrl, parseServerUrl } from "./server-url.ts";
import { versionInfo } from "./version.ts";
import type { CommandLineWorld } from "./world.ts";

export interface GlobalOptions {
  readonly json?: boolean;
  readonly server?: string;
  readonly C?: string;
  readonly timeout?: number;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  /** False with `--no-color`. */
  readonly color?: boolean;
  readonly yes?: boolean;
  readonly agent?: string;
}

const LAST_POSITION = toPosition(Number.MAX_SAFE_INTEGER);

/** A project that is read from, with or without a workspace around it. */
export interface OpenedProject {
  readonly forge: Forge;
  readonly id: ProjectId;
  /** `org/project`. */
  readonly name: string;
  readonly latest: Position;
  readonly workspace: Workspace | undefined;
}

export class Invocation implements AsyncDisposable {
  readonly world: CommandLineWorld;
  readonly output: Output;
  readonly options: GlobalOptions;
  /** Absolute; `-C DIR` where given. */
  readonly cwd: string;
  readonly #config: ConfigValues;
  readonly #forges = new Map<string, Promise<Forge>>();

  constructor(world: CommandLineWorld, output: Output, options: GlobalOptions, config: ConfigValues) {
    this.world = world;
    this.output = output;
    this.options = options;
    this.#config = config;
    this.cwd = chooseDirectory(world, options.C);
  }

  static loadConfig(world: CommandLineWorld): ConfigValues {
    return homeDirectory(world) === undefined ? {} : loadConfig(configPath(world));
  }

  get config(): ConfigValues {
    return this.#config;
  }

  get signal(): AbortSignal {
    return this.world.signal;
  }

  get timeoutMs(): number {
    return (this.options.timeout ?? TIMEOUT_SECONDS) * 1000;
  }

  /** A person can be asked. */
  get interactive(): boolean {
    return this.world.stdinIsTty && this.world.stdoutIsTty && this.options.json !== true;
  }

  /** `createForge`: only `mic init` makes a forge that is not there. */
  workspaceContext(options: { readonly createForge?: boolean } = {}): WorkspaceContext {
    const { output, world } = this;
    const { agent } = this.options;
    return {
      clock: systemClock,
      random: systemRandom,
      openForge: (address, request) =>
        this.openForge(address, request?.create ?? options.createForge ?? false),
      author: resolveAuthor(world.env, this.#config),
      authorAt: (forge) => this.#accountAuthor(forge),
      agent: agent === undefined ? "" : checkAgent(agent),
      onProgress: (progress) => output.progress.update(progress),
      signal: world.signal,
      warn: (message) => output.warn(message),
      ...(world.platform === "linux" ? { findChangedDirectories: this.#askWatcher } : {}),
      lockTimeoutMs: this.timeoutMs,
      landTimeoutMs: this.timeoutMs,
    };
  }

  /** Of the sign-in, where that is what the server is sent. */
  #accountAuthor(forge: string): string | undefined {
    const { env } = this.world;
    if (!isServerUrl(forge) || nonEmpty(env["MIC_TOKEN"]) !== undefined) return undefined;
    const account = readCredential(this.world, parseServerUrl(forge).origin)?.account;
    return account === undefined ? undefined : accountAuthor(env, account);
  }

  /** Elsewhere it is not known that every change is reported before the question is. */
  readonly #askWatcher = async (root: string, index: string): Promise<readonly string[] | undefined> => {
    const { askForDirectories } = await import("./watcher.ts");
    return await askForDirectories(root, index, this.output);
  };

  async openWorkspace(): Promise<Workspace> {
    const { Workspace } = await import("../core/workspace/workspace.ts");
    return await Workspace.open(this.cwd, this.workspaceContext());
  }

  /**
   * The same forge for the same address; disposed with the invocation. `create`: a directory becomes a forge, a bucket
   * is probed unless it was.
   */
  openForge(address: string, create = false): Promise<Forge> {
    let forge = this.#forges.get(address);
    if (forge === undefined) {
      forge = this.#openAddress(address, create);
      this.#forges.set(address, forge);
    }
    return forge;
  }

  async #openAddress(address: string, create: boolean): Promise<Forge> {
    if (isServerUrl(address)) return await this.#openServer(address);
    if (!isBucketAddress(address)) return await openDirectory(address, create);
    const { openBucket } = await import("./open-bucket.ts");
    return await openBucket(this, address, create);
  }

  /** A server's forge with a token of one's own choice; the caller disposes of it. */
  async openRemote(origin: string, token: string | TokenSource | undefined): Promise<Forge> {
    const { openRemoteForge } = await import("../core/remote/remote-forge.ts");
    const { ca, ...connection } = this.#connection();
    return await openRemoteForge(origin, {
      ...connection,
      ...(token === undefined ? {} : { token }),
      ...(ca === undefined ? {} : { ca }),
      random: systemRandom,
    });
  }

  async #openServer(address: string): Promise<Forge> {
    const { origin } = parseServerUrl(address);
    const found = await this.findToken(origin);
    if (found !== undefined) this.warnIfReadable(origin);
    return await this.openRemote(origin, found?.token);
  }

  warnIfReadable(origin: string): void {
    if (isPrivateOrigin(origin)) return;
    this.output.warn(`${origin} is not encrypted: the token can be read on the way`);
  }

  #connection() {
    return {
      ca: readCertificates(nonEmpty(this.world.env["SSL_CERT_FILE"])),
      clock: systemClock,
      timeoutMs: this.timeoutMs,
      agent: `mic/${versionInfo().version}`,
    };
  }

  /** A server's REST and OAuth endpoints, without a token. */
  async openRest(origin: string): Promise<RestClient> {
    const { RestClient } = await import("../core/remote/rest-client.ts");
    return new RestClient({ ...this.#connection(), origin });
  }

  /**
   * A server's accounts; without `origin` at the server of `--server`, MIC_SERVER or the configuration, or the only one that is known.
   * `token`: one's own choice. Errors: `usage` where no server is known.
   */
  async accountClient(origin?: string, token?: TokenSource): Promise<AccountClient> {
    const server = origin ?? (await this.#accountServer());
    const source = token ?? (await this.findToken(server))?.token;
    if (source !== undefined) this.warnIfReadable(server);
    const { AccountClient } = await import("./account/account-client.ts");
    return new AccountClient({
      ...this.#connection(),
      origin: server,
      token: source,
      signal: this.signal,
    });
  }

  async #accountServer(): Promise<string> {
    const chosen = await this.serverOrigin();
    if (chosen !== undefined) return chosen;
    const known = listCredentials(this.world);
    if (known.length === 1) return known[0]!;
    throw usageError("which server?", "give --server URL");
  }

  resolveProject(address: string): Promise<ProjectAddress> {
    return resolveProject(address, this.#addressContext());
  }

  /** What a server is sent: undefined where nobody signed in. Errors: as `tokenForServer`. */
  async findToken(origin: string): Promise<FoundToken | undefined> {
    const { tokenForServer } = await import("./server-token.ts");
    return await tokenForServer(origin, {
      world: this.world,
      meant: () => this.#serverOfGivenToken(),
      rest: () => this.openRest(origin),
      clock: systemClock,
      timeoutMs: this.timeoutMs,
      warn: (message) => this.output.warn(message),
    });
  }

  /** MIC_TOKEN is for the server that MIC_SERVER, else `--server`, else the configuration names. */
  async #serverOfGivenToken(): Promise<string | undefined> {
    const context = this.#addressContext();
    const named = nonEmpty(this.world.env["MIC_SERVER"]) ?? context.server;
    if (named === undefined) return undefined;
    const meant = await resolveForge(named, context);
    return isServerUrl(meant) ? meant : undefined;
  }

  /**
   * The server of `--server`, MIC_SERVER or the configuration; undefined where that is a directory. Errors: `usage`
   * when `--server` names one.
   */
  async serverOrigin(): Promise<string | undefined> {
    const context = this.#addressContext();
    if (context.server === undefined) return undefined;
    const forge = await resolveForge(context.server, context);
    if (isServerUrl(forge)) return forge;
    if (this.options.server === undefined) return undefined;
    throw usageError(`${forge} is a directory, not a server`, "give --server http(s)://host");
  }

  /**
   * The project to read: the one at `address`, else the workspace's; with `--server` and no address, the
   * workspace's project at that server.
   */
  async openProject(address: string | undefined): Promise<OpenedProject> {
    const workspace = address === undefined ? await this.openWorkspace() : undefined;
    const target = await this.chooseTarget(address, workspace);
    const forge = await this.openForge(target.forge);
    const options = { signal: this.signal };
    const info = await forge.getProject(target.project, options);
    const head = await forge.getHead(info.id, options);
    if (workspace !== undefined && workspace.settings.project === info.id) noteHead(workspace, head.position);
    return { forge, id: info.id, name: info.name, latest: head.position, workspace };
  }

  /** Where that project is; no forge is asked. */
  async chooseTarget(address: string | undefined, workspace: Workspace | undefined): Promise<ProjectAddress> {
    if (workspace === undefined) return await this.resolveProject(address!);
    const { server } = this.options;
    if (server !== undefined) {
      return {
        forge: await resolveForge(server, this.#addressContext()),
        project: workspace.settings.projectName,
      };
    }
    return { forge: workspace.forgeAddress, project: workspace.settings.project };
  }

  /** With `what` undefined: the newest position. */
  position(project: OpenedProject, spec: PositionSpec | undefined): Position {
    return spec === undefined ? project.latest : resolvePosition(spec, project.latest);
  }

  /** Where content is read when no position is written: the workspace's base, else the newest. */
  readingPosition(project: OpenedProject, spec: PositionSpec | undefined): Position {
    const { workspace } = project;
    if (spec === undefined && workspace !== undefined && this.options.server === undefined) {
      return workspace.index.base.position;
    }
    return this.position(project, spec);
  }

  /** A position of the workspace's project; asks the forge only where `latest` is written. */
  async workspacePosition(
    workspace: Workspace,
    spec: PositionSpec | undefined,
  ): Promise<Position | undefined> {
    if (spec === undefined) return undefined;
    if (spec.anchor !== "latest") return resolvePosition(spec, LAST_POSITION);
    const forge = await workspace.forge();
    const head = await forge.getHead(workspace.settings.project, { signal: this.signal });
    return resolvePosition(spec, head.position);
  }

  async positionAt(target: ProjectAddress, spec: PositionSpec | undefined): Promise<Position | undefined> {
    if (spec === undefined) return undefined;
    const forge = await this.openForge(target.forge);
    const { id } = await forge.getProject(target.project, { signal: this.signal });
    const head = await forge.getHead(id, { signal: this.signal });
    return resolvePosition(spec, head.position);
  }

  get addresses(): AddressContext {
    return this.#addressContext();
  }

  #addressContext(): AddressContext {
    const config = this.#config;
    return {
      cwd: this.cwd,
      server: this.options.server ?? nonEmpty(this.world.env["MIC_SERVER"]) ?? config["server.default"],
      alias: (name) => config[`server.${name}`],
      isForgeDirectory: async (directory) => {
        const { isForgeDirectory } = await import("../core/forge/forge-directory.ts");
        return isForgeDirectory(directory);
      },
      readWorkspace: async (directory) => {
        const { Workspace } = await import("../core/workspace/workspace.ts");
        const workspace = Workspace.openRoot(directory, this.workspaceContext());
        workspace.requireComplete();
        return { forge: workspace.forgeAddress, project: workspace.settings.projectName };
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of await Promise.allSettled(this.#forges.values())) {
      if (opened.status === "fulfilled") await opened.value[Symbol.asyncDispose]();
    }
    this.#forges.clear();
  }
}

async function openDirectory(address: string, create: boolean): Promise<Forge> {
  if (!path.isAbsolute(address)) {
    throw new MicError(
      "unsupported",
      `this version cannot reach ${address}: only directories work as addresses`,
    );
  }
  const { openDirectoryForge } = await import("../core/forge/forge-directory.ts");
  return await openDirectoryForge(address, { clock: systemClock, random: systemRandom, create });
}

/** Of servers that the system does not know, beside those it knows. */
function readCertificates(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new MicError("usage", `SSL_CERT_FILE ${file} cannot be read`, {
      hint: "name a PEM file, or unset it",
      cause,
    });
  }
}

function chooseDirectory(world: CommandLineWorld, option: string | undefined): string {
  if (option === undefined) return world.cwd();
  const directory = path.resolve(world.cwd(), option);
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw usageError(`-C ${option} is not a directory`);
  }
  return realpathSync(directory);
}

/** How long a command waits for another one, or for a forge that does not answer. */
const TIMEOUT_SECONDS = 120;

const NOTE_MAY_FAIL = new Set(["EACCES", "EROFS", "EPERM", "ENOSPC", "ENOENT"]);

/** Reading commands learn the newest position in passing; a workspace that cannot be written stays as it is. */
function noteHead(workspace: Workspace, head: Position): void {
  try {
    workspace.noteHead(head);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!NOTE_MAY_FAIL.has(code ?? "")) throw error;
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === "" ? undefined : text;
}
