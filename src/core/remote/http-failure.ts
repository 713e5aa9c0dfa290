/** Answers that are no answer of the API: redirects, proxies' pages, problem documents. */
import { type ErrorCode, MicError } from "../base/errors.ts";
import { CallFailure } from "./channel.ts";
import { notAServer } from "./connection-failure.ts";
import { readAtMost } from "./server-fetch.ts";

const BODY_BYTES_MAX = 64 << 10;

const CODES: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [401, "unauthenticated"],
  [403, "forbidden"],
  [404, "not-found"],
  [413, "too-large"],
]);

/** From a proxy, or from a server that is starting or stopping. */
const TRANSIENT: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** Undefined for a status that no server of ours gives. */
export function codeOfHttpStatus(status: number): ErrorCode | undefined {
  return CODES.get(status);
}

export async function failureOfHttpStatus(origin: string, response: Response): Promise<MicError> {
  const { status } = response;
  const { host } = new URL(origin);
  if (status >= 300 && status < 400) return redirected(origin, response.headers.get("location"));
  const said = detailOf(await readText(response));
  if (TRANSIENT.has(status)) {
    return new CallFailure("unreachable", said ?? `${host} answered ${status}`, {
      sent: true,
      transient: true,
    });
  }
  const code = CODES.get(status);
  if (code === undefined) return notAServer(host);
  if (code === "unauthenticated") {
    return new MicError(code, said ?? `${host} does not accept the token`, { hint: "run `mic auth login`" });
  }
  return new MicError(code, said ?? `${host} answered ${status}`);
}

function redirected(origin: string, location: string | null): CallFailure {
  const target =
    location !== null && URL.canParse(location, origin) ? new URL(location, origin).origin : undefined;
  const where = target === undefined || target === origin ? "elsewhere" : `to ${target}`;
  return new CallFailure("unreachable", `${origin} redirects ${where}, which is not followed`, {
    sent: true,
    transient: false,
    hint: "if you trust it, use that address; a token is sent to no other host than its own",
    ...(target === undefined ? {} : { data: { location: target } }),
  });
}

async function readText(response: Response): Promise<string> {
  return (await readAtMost(response, BODY_BYTES_MAX))?.toString() ?? "";
}

/** `detail` of a problem document (RFC 9457). */
function detailOf(text: string): string | undefined {
  if (!text.startsWith("{")) return undefined;
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    return typeof detail === "string" && detail !== "" ? detail.slice(0, 1000) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
