/** The server's certificate: read, checked, and read again when its files change. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { MicError } from "../../core/base/errors.ts";
import type { ServerLog } from "../context.ts";
import type { TlsFiles } from "../port/port.ts";

export interface TlsPaths {
  readonly cert: string;
  readonly key: string;
}

/** A certificate that is renewed in place is found within this. */
const POLL_MS = 5_000;

/** Errors: `usage` for files that are missing, no PEM, or do not belong together. */
export function readTlsFiles({ cert, key }: TlsPaths): TlsFiles {
  const files = { cert: readPem("--tls-cert", cert), key: readPem("--tls-key", key) };
  let belongs: boolean;
  try {
    belongs = new X509Certificate(files.cert).checkPrivateKey(createPrivateKey(files.key));
  } catch (cause) {
    throw new MicError("usage", `${cert} and ${key} are not a certificate and its key`, {
      hint: "both are PEM files; the key is not encrypted",
      cause,
    });
  }
  if (!belongs) {
    throw new MicError("usage", `the key in ${key} is not that of the certificate in ${cert}`, {
      hint: "give the files of one certificate",
    });
  }
  return files;
}

function readPem(flag: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new MicError("usage", `${flag} ${file} cannot be read (${code})`, {
      hint: "give a PEM file",
      cause,
    });
  }
}

export interface WatchTlsOptions {
  readonly paths: TlsPaths;
  /** Connections that begin from now on get these. May throw. */
  readonly use: (files: TlsFiles) => void;
  readonly log: ServerLog;
  readonly pollMs?: number;
}

/**
 * Looks at the files' identity rather than at events: renewals replace files, links, or the directory they are in.
 * Files that cannot be read, or are no certificate and its key, are logged, once for each change, and the ones in use
 * stay; that is also what happens between the renewal of one and of the other. They are tried again at every look: not
 * every failure is the files'.
 */
export class TlsWatch implements Disposable {
  readonly #options: WatchTlsOptions;
  readonly #timer: NodeJS.Timeout;
  /** Of the files in use. */
  #used: string;
  /** What was logged last, of which files. */
  #refused = "";

  constructor(options: WatchTlsOptions) {
    this.#options = options;
    this.#used = stampOf(options.paths);
    this.#timer = setInterval(() => this.#look(), options.pollMs ?? POLL_MS);
    this.#timer.unref();
  }

  #look(): void {
    const { paths, use, log } = this.#options;
    const stamp = stampOf(paths);
    if (stamp === this.#used) return;
    try {
      const files = readTlsFiles(paths);
      use(files);
      this.#used = stamp;
      this.#refused = "";
      log.info("certificate", { until: new X509Certificate(files.cert).validTo });
    } catch (error) {
      const refused = `${stamp} ${error instanceof Error ? error.message : String(error)}`;
      if (refused === this.#refused) return;
      this.#refused = refused;
      log.error("certificate", { message: "the new certificate is not used", error });
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

function stampOf({ cert, key }: TlsPaths): string {
  return [cert, key].map(identityOf).join(" ");
}

/** Of one that cannot be looked at: why. */
function identityOf(file: string): string {
  try {
    const { ino, size, mtimeNs } = statSync(file, { bigint: true });
    return `${ino}-${size}-${mtimeNs}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "unknown";
  }
}
