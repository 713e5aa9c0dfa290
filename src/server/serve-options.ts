/** The options of `mic serve`, from its flags and its environment, checked. */
import { isIP } from "node:net";
import path from "node:path";
import { MicError } from "../core/base/errors.ts";

/** As they were written. */
export interface ServeFlags {
  readonly data?: string;
  readonly listen?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly insecureListen?: boolean;
}

export interface ServeWorld {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly platform: NodeJS.Platform;
  readonly isRoot: boolean;
  readonly cwd: string;
}

export interface ServeOptions {
  readonly dataDirectory: string;
  readonly host: string;
  readonly port: number;
  /** Files in PEM. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly ownerToken: string | undefined;
}

const DEFAULT_LISTEN = "127.0.0.1:7420";

/** Errors: `usage` names the flag or variable and the line that mends it, `unsupported` for other stores. */
export function readServeOptions(flags: ServeFlags, world: ServeWorld): ServeOptions {
  const dataDirectory = chooseDataDirectory(flags, world);
  const { host, port } = parseListen(flags.listen ?? DEFAULT_LISTEN);
  const tls = readTls(flags, world);
  if (tls === undefined && !isLoopback(host) && flags.insecureListen !== true) {
    throw usage(
      `${host} can be reached from other machines, and without TLS the token could be read on the way`,
      "give --tls-cert FILE --tls-key FILE, or --insecure-listen where a proxy in front does TLS",
    );
  }
  const ownerToken = variable(world, "MIC_OWNER_TOKEN");
  return { dataDirectory, host, port, tls, ownerToken };
}

function chooseDataDirectory(flags: ServeFlags, world: ServeWorld): string {
  const backend = variable(world, "STORAGE_BACKEND") ?? "local";
  if (backend === "s3" || backend === "tiered") {
    throw new MicError("unsupported", `STORAGE_BACKEND=${backend}: this version stores on local disks only`, {
      hint: "unset STORAGE_BACKEND, or STORAGE_BACKEND=local STORAGE_LOCAL_PATH=/var/lib/mic",
    });
  }
  if (backend !== "local") {
    throw usage(`STORAGE_BACKEND=${backend} is not a store`, "STORAGE_BACKEND=local");
  }
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
  const home = env["HOME"] ?? env["USERPROFILE"];
  if (home === undefined || home === "") {
    throw usage("no home directory is known to keep the data in", "mic serve --data /srv/mic");
  }
  if (platform === "win32")
    return path.join(env["LOCALAPPDATA"] ?? path.join(home, "AppData/Local"), "mic", "forge");
  if (platform === "darwin") return path.join(home, "Library", "Application Support", "mic", "forge");
  const xdg = env["XDG_DATA_HOME"];
  return path.join(
    xdg !== undefined && path.isAbsolute(xdg) ? xdg : path.join(home, ".local", "share"),
    "mic",
  );
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
