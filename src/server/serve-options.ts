/** The options of `mic serve`, from its flags and its environment, checked. */
import { isIP } from "node:net";
import path from "node:path";
import { MicError } from "../core/base/errors.ts";
import { absoluteOf, homeOf } from "../core/base/home.ts";
import { readS3Settings, type S3Defaults, type S3Settings } from "../core/store/s3/environment.ts";
import { type ReplicaFlags, type ReplicaOptions, readReplicaOptions } from "./auth/replica/replica-target.ts";
import { type NetworkFlags, type NetworkSettings, readNetworkSettings } from "./network/network-options.ts";

/** As they were written. */
export interface ServeFlags extends NetworkFlags, ReplicaFlags {
  readonly data?: string;
  readonly listen?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly insecureListen?: boolean;
  readonly publicUrl?: string;
  readonly s3Bucket?: string;
  readonly s3Endpoint?: string;
  readonly s3Region?: string;
  readonly s3Prefix?: string;
  readonly cachePath?: string;
  readonly cacheMaxBytes?: string;
  readonly cacheMemoryMaxBytes?: string;
  readonly cdnBaseUrl?: string;
  readonly cdnTimeoutMs?: string;
  readonly presignedUrls?: boolean;
}

export interface ServeWorld {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly platform: NodeJS.Platform;
  readonly isRoot: boolean;
  readonly cwd: string;
  /** Of the user's configuration, after flags and variables. */
  readonly s3Defaults?: S3Defaults;
}

/** What stands between the server and its store, for objects that never change. */
export interface TierOptions {
  /** Directory of the tier on a local disk: absolute. Undefined: none. */
  readonly cachePath: string | undefined;
  /** Of that tier. Undefined: the server's own choice. */
  readonly cacheMaxBytes: number | undefined;
  /** Of the tier in memory. Undefined: the server's own choice. */
  readonly cacheMemoryMaxBytes: number | undefined;
  /** `https://host[/path]`, no slash at the end: the store's keys follow it. Undefined: none. */
  readonly cdnBaseUrl: string | undefined;
  readonly cdnTimeoutMs: number;
}

export interface StorageOptions {
  readonly origin: { readonly kind: "local" } | { readonly kind: "s3"; readonly settings: S3Settings };
  readonly tiers: TierOptions;
  /** Clients may put large packs into the bucket, and get them, with URLs that the server signs. */
  readonly presigned: boolean;
}

export interface ServeOptions {
  /** Of the accounts, and of everything that is stored unless the origin is a bucket. */
  readonly dataDirectory: string;
  readonly storage: StorageOptions;
  /** What was asked for and may not be what was meant. */
  readonly warnings: readonly string[];
  readonly host: string;
  readonly port: number;
  /** Files in PEM. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly ownerToken: string | undefined;
  /** Origin under which callers know this server. */
  readonly publicUrl: string | undefined;
  readonly network: NetworkSettings;
  /** Of the accounts. Undefined: they are on this machine alone. */
  readonly replica: ReplicaOptions | undefined;
}

const DEFAULT_LISTEN = "127.0.0.1:7420";
const CDN_TIMEOUT_MS_DEFAULT = 2_000;

/** Errors: `usage` names the flag or variable and the line that mends it. */
export function readServeOptions(flags: ServeFlags, world: ServeWorld): ServeOptions {
  const warnings: string[] = [];
  const dataDirectory = chooseDataDirectory(flags, world);
  const storage = readStorage(flags, world, dataDirectory, warnings);
  const { host, port } = parseListen(flags.listen ?? DEFAULT_LISTEN);
  const tls = readTls(flags, world);
  if (tls === undefined && !isLoopback(host) && flags.insecureListen !== true) {
    throw usage(
      `${host} can be reached from other machines, and without TLS the token could be read on the way`,
      "give --tls-cert FILE --tls-key FILE, or --insecure-listen where a proxy in front does TLS",
    );
  }
  const ownerToken = variable(world, "MIC_OWNER_TOKEN");
  const publicUrl = readPublicUrl(choose(flags.publicUrl, "--public-url", world, "MIC_PUBLIC_URL"));
  const network = readNetworkSettings(flags, world.env);
  if (publicUrl === undefined && !isLoopback(host) && network.allowedHosts.length === 0) {
    warnings.push(
      "without --public-url nobody can sign in with a browser under a name, and calls are taken under any",
    );
  }
  const replica = readReplicaOptions(flags, world.env, world.s3Defaults);
  if (replica !== undefined && replica.advertiseUrl === undefined && isLoopback(host)) {
    warnings.push(
      `other servers cannot pass changes of accounts on to ${host}: --advertise-url URL says how they reach this one`,
    );
  }
  return { dataDirectory, storage, warnings, host, port, tls, ownerToken, publicUrl, network, replica };
}

/** `tiered` is what its origin is, with caches before it; those can be given to the others as well. */
function readStorage(
  flags: ServeFlags,
  world: ServeWorld,
  dataDirectory: string,
  warnings: string[],
): StorageOptions {
  const backend = variable(world, "STORAGE_BACKEND");
  if (backend !== undefined && !["local", "s3", "tiered"].includes(backend)) {
    throw usage(`STORAGE_BACKEND=${backend} is not a store`, "STORAGE_BACKEND=local, s3 or tiered");
  }
  const origin = chooseOrigin(flags, world, backend, warnings);
  const tiers = readTiers(flags, world, backend === "tiered" ? path.join(dataDirectory, "cache") : undefined);
  const presigned = flags.presignedUrls === true || readSwitch(world, "STORAGE_PRESIGNED");
  if (presigned && origin.kind !== "s3") {
    throw usage("there are no presigned URLs without a bucket", "--s3-bucket your-bucket-name");
  }
  return { origin, tiers, presigned };
}

function chooseOrigin(
  flags: ServeFlags,
  world: ServeWorld,
  backend: string | undefined,
  warnings: string[],
): StorageOptions["origin"] {
  const originKind = variable(world, "STORAGE_ORIGIN_BACKEND");
  if (originKind !== undefined && originKind !== "local" && originKind !== "s3") {
    throw usage(
      `STORAGE_ORIGIN_BACKEND=${originKind} is not an origin`,
      "STORAGE_ORIGIN_BACKEND=s3, or local",
    );
  }
  const bucket = variable(world, "S3_BUCKET");
  const fallback = backend === "tiered" ? (originKind ?? (bucket === undefined ? "local" : "s3")) : "local";
  const kind = backend === "s3" || flags.s3Bucket !== undefined ? "s3" : fallback;
  if (kind === "s3") {
    const { s3Bucket, s3Endpoint, s3Region, s3Prefix } = flags;
    const given = {
      ...(s3Bucket === undefined ? {} : { bucket: s3Bucket }),
      ...(s3Endpoint === undefined ? {} : { endpoint: s3Endpoint }),
      ...(s3Region === undefined ? {} : { region: s3Region }),
      ...(s3Prefix === undefined ? {} : { prefix: s3Prefix }),
    };
    const settings = readS3Settings(world.env, given, world.s3Defaults);
    const contrary = backend === "local" ? "STORAGE_BACKEND=local" : "STORAGE_ORIGIN_BACKEND=local";
    if (s3Bucket !== undefined && (backend === "local" || (backend !== "s3" && originKind === "local"))) {
      warnings.push(`${contrary} is not followed: --s3-bucket ${s3Bucket} comes before it`);
    }
    const endpoint = settings.endpoint === undefined ? undefined : new URL(settings.endpoint);
    if (endpoint?.protocol === "http:" && !isLoopback(endpoint.hostname.replace(/^\[|\]$/g, ""))) {
      warnings.push(`${endpoint.origin} is not encrypted: what is stored can be read on the way`);
    }
    return { kind, settings };
  }
  const stray = (["s3Endpoint", "s3Region", "s3Prefix"] as const).find((name) => flags[name] !== undefined);
  if (stray !== undefined) {
    throw usage(
      `--s3-${stray.slice(2).toLowerCase()} is given and no bucket is: everything would be stored locally`,
      "--s3-bucket your-bucket-name",
    );
  }
  if (backend === undefined && bucket !== undefined) {
    warnings.push(
      `S3_BUCKET=${bucket} is not used: everything is stored locally. STORAGE_BACKEND=s3 uses it`,
    );
  }
  return { kind: "local" };
}

/** `cacheDefault`: where the tier on disk is when nothing says so. */
function readTiers(flags: ServeFlags, world: ServeWorld, cacheDefault: string | undefined): TierOptions {
  const cachePath = choose(flags.cachePath, "--cache-path", world, "STORAGE_CACHE_PATH");
  if (cachePath?.isVariable && !path.isAbsolute(cachePath.text)) {
    throw usage(
      `${cachePath.source} is not an absolute path`,
      cachePath.line(path.resolve(world.cwd, cachePath.text)),
    );
  }
  const cdn = choose(flags.cdnBaseUrl, "--cdn-base-url", world, "STORAGE_CDN_BASE_URL");
  return {
    cachePath: cachePath === undefined ? cacheDefault : path.resolve(world.cwd, cachePath.text),
    cacheMaxBytes: readCount(
      choose(flags.cacheMaxBytes, "--cache-max-bytes", world, "STORAGE_CACHE_MAX_BYTES"),
      { least: 1 << 20, most: 2 ** 50, example: 16 * 2 ** 30 },
    ),
    cacheMemoryMaxBytes: readCount(
      choose(flags.cacheMemoryMaxBytes, "--cache-memory-max-bytes", world, "STORAGE_CACHE_MEMORY_MAX_BYTES"),
      { least: 0, most: 2 ** 40, example: 64_000_000 },
    ),
    cdnBaseUrl: cdn === undefined ? undefined : checkCdn(cdn),
    cdnTimeoutMs:
      readCount(choose(flags.cdnTimeoutMs, "--cdn-timeout-ms", world, "STORAGE_CDN_TIMEOUT_MS"), {
        least: 1,
        most: 600_000,
        example: CDN_TIMEOUT_MS_DEFAULT,
      }) ?? CDN_TIMEOUT_MS_DEFAULT,
  };
}

function readSwitch(world: ServeWorld, name: string): boolean {
  const text = variable(world, name);
  if (text === undefined || text === "false" || text === "0") return false;
  if (text === "true" || text === "1") return true;
  throw usage(`${name}=${text} is neither true nor false`, `${name}=true`);
}

interface Setting {
  readonly text: string;
  readonly isVariable: boolean;
  /** As the user wrote it. */
  readonly source: string;
  /** The line that sets it to `value`. */
  readonly line: (value: string | number) => string;
}

function choose(
  flag: string | undefined,
  flagName: string,
  world: ServeWorld,
  name: string,
): Setting | undefined {
  if (flag !== undefined) {
    if (flag === "") throw usage(`${flagName} is empty`, "give a value, or leave it out");
    return {
      text: flag,
      isVariable: false,
      source: `${flagName} ${flag}`,
      line: (value) => `${flagName} ${value}`,
    };
  }
  const text = variable(world, name);
  if (text === undefined) return undefined;
  return { text, isVariable: true, source: `${name}=${text}`, line: (value) => `${name}=${value}` };
}

function readCount(
  setting: Setting | undefined,
  { least, most, example }: { readonly least: number; readonly most: number; readonly example: number },
): number | undefined {
  if (setting === undefined) return undefined;
  const count = Number(setting.text);
  if (/^\d+$/.test(setting.text) && count >= least && count <= most) return count;
  throw usage(`${setting.source} is not a whole number from ${least} to ${most}`, setting.line(example));
}

/** An origin: the server's paths begin at its root. */
function readPublicUrl(setting: Setting | undefined): string | undefined {
  if (setting === undefined) return undefined;
  const { text, source, line } = setting;
  const url = /^https?:\/\/[^/\\\s]/i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  const isOrigin = url !== undefined && url.href === `${url.origin}/`;
  if (!isOrigin) throw usage(`${source} is not http(s)://host[:port]`, line("https://forge.example.com"));
  return url.origin;
}

function checkCdn({ text, source, line }: Setting): string {
  const example = line("https://cdn.example.com/mic");
  const url = /^https?:\/\/[^/\\\s]/i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw usage(`${source} is not an http(s):// address`, example);
  if (url.username !== "" || url.password !== "" || /[?#\s\\]/.test(text)) {
    throw usage(`${source} has a user, a query or a fragment`, example);
  }
  return url.href.replace(/\/+$/, "");
}

export function chooseDataDirectory(flags: Pick<ServeFlags, "data">, world: ServeWorld): string {
  const local = variable(world, "STORAGE_LOCAL_PATH");
  if (local !== undefined && !path.isAbsolute(local)) {
    throw usage(
      `STORAGE_LOCAL_PATH=${local} is not an absolute path`,
      `STORAGE_LOCAL_PATH=${path.resolve(world.cwd, local)}`,
    );
  }
  if (flags.data === "") throw usage("--data is empty", "--data /var/lib/mic");
  if (flags.data !== undefined) return path.resolve(world.cwd, flags.data);
  return local ?? (world.isRoot ? "/var/lib/mic" : platformDirectory(world));
}

/** Where a user's programs keep their data. */
function platformDirectory(world: ServeWorld): string {
  const { env, platform } = world;
  const home = homeOf(env);
  if (home === undefined) {
    throw usage("no home directory is known to keep the data in", "mic serve --data /srv/mic");
  }
  if (platform === "win32")
    return path.join(absoluteOf(env, "LOCALAPPDATA") ?? path.join(home, "AppData/Local"), "mic", "forge");
  if (platform === "darwin") return path.join(home, "Library", "Application Support", "mic", "forge");
  return path.join(absoluteOf(env, "XDG_DATA_HOME") ?? path.join(home, ".local", "share"), "mic");
}

/** `HOST:PORT`, `[IPv6]:PORT`, `:PORT` (loopback) or `PORT` alone. */
export function parseListen(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:(?:\[([0-9A-Fa-f:.%]+)\]|([^:[\]\s]*)):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (
    match === null ||
    port > 65_535 ||
    (match[1] !== undefined && isIP(match[1].replace(/%.*$/, "")) !== 6)
  ) {
    throw usage(
      `--listen ${JSON.stringify(text)} is not HOST:PORT`,
      `e.g. --listen ${DEFAULT_LISTEN}, --listen '[::1]:7420'`,
    );
  }
  const host = match[1] ?? match[2] ?? "";
  return { host: host === "" ? "127.0.0.1" : host, port };
}

export function isLoopback(host: string): boolean {
  if (isIP(host) === 4) return host.startsWith("127.");
  return host === "localhost" || host === "::1" || host === "0:0:0:0:0:0:0:1";
}

function readTls(flags: ServeFlags, world: ServeWorld): ServeOptions["tls"] {
  const { tlsCert: cert, tlsKey: key } = flags;
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined) throw usage("--tls-key needs --tls-cert", "--tls-cert FILE --tls-key FILE");
  if (key === undefined) throw usage("--tls-cert needs --tls-key", "--tls-cert FILE --tls-key FILE");
  return { cert: path.resolve(world.cwd, cert), key: path.resolve(world.cwd, key) };
}

/** An empty variable is one that is not set. */
function variable(world: ServeWorld, name: string): string | undefined {
  const value = world.env[name];
  return value === undefined || value === "" ? undefined : value;
}

function usage(message: string, hint: string): MicError {
  return new MicError("usage", message, { hint });
}
