/**
 * The endpoint that a container is given: ECS by a relative address, EKS Pod Identity and others by a full one. The
 * token that is sent along must not reach anybody else, so plain http goes to this machine and to the two link-local
 * hosts of AWS only.
 */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import type { Clock } from "../../../base/clock.ts";
import { isMicError, MicError } from "../../../base/errors.ts";
import type { Environment } from "../environment.ts";
import { askService, parseObject } from "./request.ts";
import { brokenSource, type CredentialProvider, checkDocument } from "./source.ts";

const ECS_ORIGIN = "http://169.254.170.2";
const LINK_LOCAL = new Set(["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"]);
const TIMEOUT_MS = 2_000;
const ATTEMPTS = 3;
const PAUSE_MS = 200;

export function containerCredentials(
  env: Environment,
  clock: Clock,
  options: { /** Where relative addresses lead; for tests. */ readonly ecsOrigin?: string } = {},
): CredentialProvider {
  return {
    name: "container",
    async load() {
      const url = endpointOf(env, options.ecsOrigin ?? ECS_ORIGIN);
      if (url === undefined) {
        return {
          missing:
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and AWS_CONTAINER_CREDENTIALS_FULL_URI are not set",
        };
      }
      const authorization = readAuthorization(env);
      const headers = {
        accept: "application/json",
        ...(authorization === undefined ? {} : { authorization }),
      };
      const { status, text } = await askPatiently(url, headers, clock);
      const document = parseObject(text);
      if (status !== 200 || document === undefined) {
        throw brokenSource(
          `the container's credentials endpoint answers ${status}`,
          "give the task or pod a role, and check the token that it is sent",
        );
      }
      return checkDocument(
        {
          accessKeyId: document["AccessKeyId"],
          secretAccessKey: document["SecretAccessKey"],
          sessionToken: document["Token"],
          expiration: document["Expiration"],
        },
        "the container's credentials endpoint",
      );
    },
  };
}

/** Errors: `unauthenticated` for an address that the token must not be sent to. */
function endpointOf(env: Environment, ecsOrigin: string): string | undefined {
  const relative = env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
  if (relative) {
    // Anything else could move the host: `@evil.example`, `.evil.example`.
    if (relative.startsWith("/")) return ecsOrigin + relative;
    throw brokenSource(
      "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not start with a slash",
      "unset it; the container's agent sets it",
    );
  }
  const full = env["AWS_CONTAINER_CREDENTIALS_FULL_URI"];
  if (!full) return undefined;
  const url = URL.canParse(full) ? new URL(full) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw brokenSource("AWS_CONTAINER_CREDENTIALS_FULL_URI is not an http(s):// address", "unset it");
  }
  if (url.protocol === "https:" || LINK_LOCAL.has(url.hostname) || isLoopback(url.hostname)) return url.href;
  throw brokenSource(
    `AWS_CONTAINER_CREDENTIALS_FULL_URI leads to ${url.hostname} without encryption`,
    "use https, or a host of this machine",
  );
}

function isLoopback(hostname: string): boolean {
  return (
    hostname === "localhost" || hostname === "[::1]" || (isIP(hostname) === 4 && hostname.startsWith("127."))
  );
}

/** The file is read each time: its token is replaced while the container runs. */
function readAuthorization(env: Environment): string | undefined {
  const file = env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
  const token = file ? readToken(file) : env["AWS_CONTAINER_AUTHORIZATION_TOKEN"];
  if (!token) return undefined;
  if (/^[\x20-\x7e]+$/.test(token)) return token;
  throw brokenSource(
    "the container's authorization token has line breaks or control characters",
    "write it anew",
  );
}

function readToken(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw brokenSource(
      `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE ${file} cannot be read (${code})`,
      "mount it, or unset the variable",
      error,
    );
  }
}

async function askPatiently(
  url: string,
  headers: Readonly<Record<string, string>>,
  clock: Clock,
): ReturnType<typeof askService> {
  for (let attempt = 1; ; attempt++) {
    const isLast = attempt === ATTEMPTS;
    try {
      const answer = await askService({ url, headers, timeoutMs: TIMEOUT_MS }, clock);
      if (isLast || (answer.status < 500 && answer.status !== 429)) return answer;
    } catch (error) {
      if (!isMicError(error, "unreachable")) throw error;
      if (isLast) {
        throw new MicError(
          "unreachable",
          `the container's credentials endpoint cannot be reached: ${error.message}`,
          {
            hint: "the environment says that this is a container with a role; unset the variable if it is none",
            cause: error,
          },
        );
      }
    }
    await clock.sleep(PAUSE_MS * attempt);
  }
}
