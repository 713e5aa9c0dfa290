/** RFC 8628, the device's side: shows a code, waits until somebody has approved it in a browser. */
import type { Clock } from "../../core/base/clock.ts";
import { isMicError, MicError } from "../../core/base/errors.ts";
import type { RestClient } from "../../core/remote/rest-client.ts";
import type { Output } from "../output.ts";
import { escapeLine } from "../text.ts";
import { openInBrowser } from "./open-browser.ts";
import {
  authorizeDevice,
  type DeviceAuthorization,
  exchangeDeviceCode,
  type IssuedTokens,
  requireDeviceFlow,
  TokenRefusal,
} from "./token-endpoint.ts";

export interface DeviceSignIn {
  readonly scope: string;
  readonly openBrowser: boolean;
  readonly clock: Clock;
  readonly output: Pick<Output, "tell" | "warn" | "errStyle">;
  readonly platform: NodeJS.Platform;
  readonly signal: AbortSignal;
}

/** RFC 8628, 3.5: after `slow_down`, and after a poll that did not get through. */
const SLOWER_BY_SECONDS = 5;

/** Errors: `unauthenticated` when it was denied or took too long, `aborted`, and those of the endpoints. */
export async function signInByDevice(rest: RestClient, options: DeviceSignIn): Promise<IssuedTokens> {
  const { scope, clock, output, signal } = options;
  await requireDeviceFlow(rest, signal);
  const device = await authorizeDevice(rest, scope, signal);
  show(device, output);
  if (options.openBrowser) {
    const page = device.verificationUriComplete ?? device.verificationUri;
    if (!openInBrowser(page, options.platform))
      output.warn("no browser could be started: open the page yourself");
  }
  let intervalSeconds = device.intervalSeconds;
  // Counted, not read from a clock, which may jump.
  let waitedSeconds = 0;
  while (waitedSeconds < device.expiresInSeconds) {
    await clock.sleep(intervalSeconds * 1000, signal);
    waitedSeconds += intervalSeconds;
    try {
      return await exchangeDeviceCode(rest, device.deviceCode, signal);
    } catch (error) {
      if (isMicError(error, "unreachable")) intervalSeconds += SLOWER_BY_SECONDS;
      else if (!(error instanceof TokenRefusal)) throw error;
      else if (error.reason === "slow_down") intervalSeconds += SLOWER_BY_SECONDS;
      else if (error.reason !== "authorization_pending") throw over(error, rest.origin);
    }
  }
  throw expired(rest.origin);
}

/** On stderr, with `--json` and `--quiet` too: without it nobody can go on. */
function show(
  { userCode, verificationUri, verificationUriComplete }: DeviceAuthorization,
  output: DeviceSignIn["output"],
): void {
  const { errStyle } = output;
  output.tell(
    [
      `Open ${errStyle.bold(escapeLine(verificationUri))} in a browser, on any machine, and enter the code`,
      "",
      `    ${errStyle.bold(escapeLine(userCode))}`,
      "",
      ...(verificationUriComplete === undefined
        ? []
        : [errStyle.dim(`or open ${escapeLine(verificationUriComplete)}`)]),
      errStyle.dim("waiting for it to be approved; Ctrl-C gives up"),
    ].join("\n"),
  );
}

function over(refusal: TokenRefusal, origin: string): MicError {
  if (refusal.reason === "expired_token") return expired(origin, refusal);
  if (refusal.reason === "access_denied") {
    return new MicError("unauthenticated", "the sign-in was denied in the browser", { cause: refusal });
  }
  return refusal;
}

function expired(origin: string, cause?: unknown): MicError {
  return new MicError("unauthenticated", "the code expired before anybody approved it", {
    hint: `get another one: mic auth login --server ${origin}`,
    ...(cause === undefined ? {} : { cause }),
  });
}
