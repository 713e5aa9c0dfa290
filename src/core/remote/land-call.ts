/**
 * Landing over a network, where an answer can be lost. The same landing may be sent again for as long as its outcome
 * is not known: the server recognises its id. Only "landed" and "conflict" are final once an attempt may have
 * arrived; a refusal then says nothing about that attempt.
 */
import { type ErrorCode, isMicError, MicError } from "../base/errors.ts";
import type { LandingId, Position } from "../base/ids.ts";
import type { TreePath } from "../base/path.ts";
import { isTreePath } from "../base/path.ts";
import type { FoundLanding, LandResult } from "../forge/forge.ts";
import { decodeMessage } from "../wire/common.ts";
import { Landed } from "../wire/gen/mic/v1/sessions.ts";
import { landedFromWire, landingIdFromWire } from "../wire/history.ts";
import { type Caller, type CallSpec, isRateLimited } from "./caller.ts";
import { CallFailure } from "./channel.ts";

const UNSENT_ATTEMPTS_MAX = 5;

/** What a server says of a landing that it has not begun to commit. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "usage",
  "nothing-to-land",
  "landed",
  "not-found",
  "unauthenticated",
  "forbidden",
  "unreachable",
  "unsafe-path",
  "too-large",
  "out-of-range",
  "unsupported",
  "history-changed",
  "landing-id-reused",
  "different-lineage",
  "rate-limited",
  "corrupt",
]);
const WORTH_REPEATING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "unreachable",
  "outcome-unknown",
  "aborted",
]);

/** What is landed, and the position that it is landed on. */
export interface LandedWork {
  readonly landingId: LandingId;
  readonly base?: { readonly position: Position };
}

/** Errors: `outcome-unknown` when it may have landed; any other says that it has not. */
export async function landOver(
  caller: Caller,
  work: LandedWork,
  spec: Omit<CallSpec, "repeat">,
): Promise<LandResult> {
  const { landingId } = work;
  const began = caller.clock.nowMs();
  let mayHaveArrived = false;
  for (let attempt = 0; ; attempt++) {
    try {
      return await attemptToLand(caller, work, spec);
    } catch (error) {
      if (!isMicError(error) || spec.signal?.aborted) throw error;
      if (error.code === "conflict") return { kind: "conflict", paths: pathsOf(error) };
      mayHaveArrived ||= error instanceof CallFailure ? error.sent : !REFUSALS.has(error.code);
      const isInTime = mayHaveArrived
        ? caller.clock.nowMs() - began < caller.timeoutMs
        : attempt + 1 < UNSENT_ATTEMPTS_MAX;
      if (!isInTime || !isWorthRepeating(error))
        throw mayHaveArrived ? outcomeUnknown(landingId, error) : error;
      await caller.backOff(attempt, spec.signal, error);
    }
  }
}

async function attemptToLand(
  caller: Caller,
  { landingId, base }: LandedWork,
  spec: Omit<CallSpec, "repeat">,
): Promise<LandResult> {
  const bytes = await caller.once({ ...spec, repeat: "again" });
  try {
    const message = decodeMessage(Landed, bytes);
    if (landingIdFromWire(message.landingId) !== landingId)
      throw new MicError("usage", "it is about another landing");
    const landed: FoundLanding = landedFromWire(message);
    if (landed.position <= (base?.position ?? 0)) {
      throw new MicError("usage", `it is at ${landed.position}, not after what it was based on`);
    }
    return { kind: "landed", ...landed };
  } catch (cause) {
    if (!(cause instanceof MicError)) throw cause;
    const message = `the server's answer to a landing is wrong: ${cause.message}`;
    throw new CallFailure("corrupt", message, { cause, sent: true, transient: false });
  }
}

function isWorthRepeating(error: MicError): boolean {
  if (isRateLimited(error)) return true;
  return error instanceof CallFailure ? error.transient : WORTH_REPEATING.has(error.code);
}

function pathsOf(error: MicError): TreePath[] {
  const { paths } = error.data;
  return Array.isArray(paths)
    ? paths.filter((path): path is TreePath => typeof path === "string" && isTreePath(path))
    : [];
}

function outcomeUnknown(landingId: LandingId, cause: MicError): MicError {
  return new MicError(
    "outcome-unknown",
    `whether landing ${landingId} happened is not known: ${cause.message}`,
    {
      hint: "the next command in this workspace settles it",
      cause,
      data: { landing: landingId },
    },
  );
}
