/** Small requests to the services that hand out credentials: short, bounded, and never led elsewhere. */
import type { Clock } from "../../../base/clock.ts";
import { MicError } from "../../../base/errors.ts";
import { isNeverProxied } from "../proxy.ts";

export interface ServiceRequest {
  readonly url: string;
  readonly method?: "GET" | "PUT" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly timeoutMs: number;
}

export interface ServiceAnswer {
  readonly status: number;
  readonly text: string;
}

const ANSWER_BYTES_MAX = 256 << 10;

/**
 * Whatever the status is. Errors: `unreachable` when no answer came in time, `unauthenticated` for a redirect (what
 * is sent is secret) or an answer that does not end.
 */
export async function askService(request: ServiceRequest, clock: Clock): Promise<ServiceAnswer> {
  const { url, method = "GET", headers = {}, body, timeoutMs } = request;
  const timeout = new AbortController();
  const finished = new AbortController();
  const expiry = clock.sleep(timeoutMs, finished.signal).then(
    () => timeout.abort(new Error(`no answer within ${timeoutMs} ms`)),
    () => undefined,
  );
  try {
    const init: RequestInit & { readonly proxy?: false } = {
      ...(isNeverProxied(url) ? { proxy: false } : {}),
      method,
      headers,
      redirect: "manual",
      signal: timeout.signal,
      ...(body === undefined ? {} : { body }),
    };
    // biome-ignore lint/style/noRestrictedGlobals: a store adapter
    const response = await fetch(url, init);
    if (response.status >= 300 && response.status < 400) {
      throw new MicError(
        "unauthenticated",
        `${originOf(url)} redirects a request for credentials elsewhere`,
        {
          hint: "a proxy may stand before it: set NO_PROXY for its host",
        },
      );
    }
    return { status: response.status, text: await readText(response, url) };
  } catch (error) {
    if (error instanceof MicError) throw error;
    const cause = timeout.signal.aborted ? timeout.signal.reason : error;
    throw new MicError("unreachable", `${originOf(url)} does not answer: ${messageOf(cause)}`, { cause });
  } finally {
    finished.abort();
    await expiry;
  }
}

async function readText(response: Response, url: string): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += part.length;
    if (length > ANSWER_BYTES_MAX) {
      throw new MicError("unauthenticated", `${originOf(url)} answers with more than credentials`);
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

/** For messages: a path or a query may be secret. */
function originOf(url: string): string {
  return new URL(url).origin;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** An object of JSON, or undefined. */
export function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}
