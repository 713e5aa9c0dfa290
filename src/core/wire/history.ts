/** Landings, between the forge's form and `mic.v1`. */
import { hexToBytes } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import type { LandingId } from "../base/ids.ts";
import type { FoundLanding, Landing, LandingSummary, LandResult, ListLandings } from "../forge/forge.ts";
import {
  conversationFromWire,
  hashFromWire,
  ID_BYTES,
  idFromWire,
  numberFromWire,
  operationFromWire,
  operationToWire,
  pathsFromWire,
  positionFromWire,
  positionRefFromWire,
  positionRefToWire,
} from "./common.ts";
import type {
  ListLandingsRequest,
  Landing as WireLanding,
  LandingSummary as WireLandingSummary,
} from "./gen/mic/v1/content.ts";
import type { Landed } from "./gen/mic/v1/sessions.ts";
import { sessionIdFromWire } from "./sessions.ts";

export function landingIdFromWire(bytes: Uint8Array): LandingId {
  return idFromWire<LandingId>(bytes, ID_BYTES, "a landing id");
}

export function landingSummaryToWire(landing: LandingSummary): WireLandingSummary {
  return {
    position: BigInt(landing.position),
    landingId: hexToBytes(landing.landingId),
    session: hexToBytes(landing.session),
    root: hexToBytes(landing.root),
    parentRoot: hexToBytes(landing.parentRoot),
    goal: landing.goal,
    author: landing.author,
    agent: landing.agent,
    timeMs: BigInt(landing.timeMs),
    changes: BigInt(landing.changes),
  };
}

export function landingSummaryFromWire(message: WireLandingSummary | undefined): LandingSummary {
  if (message === undefined) throw new MicError("usage", "a landing without its summary");
  return {
    position: positionFromWire(message.position),
    landingId: landingIdFromWire(message.landingId),
    session: sessionIdFromWire(message.session),
    root: hashFromWire(message.root, "a landing's root"),
    parentRoot: hashFromWire(message.parentRoot, "a landing's parent root"),
    goal: message.goal,
    author: message.author,
    agent: message.agent,
    timeMs: numberFromWire(message.timeMs, "time"),
    changes: numberFromWire(message.changes, "count"),
  };
}

export function landingToWire(landing: Landing): WireLanding {
  return {
    summary: landingSummaryToWire(landing),
    hlc: landing.hlc,
    base: positionRefToWire(landing.base),
    decisions: landing.decisions,
    conversation: landing.conversation,
    operations: landing.operations.map(operationToWire),
  };
}

export function landingFromWire(message: WireLanding): Landing {
  return {
    ...landingSummaryFromWire(message.summary),
    hlc: message.hlc,
    base: positionRefFromWire(message.base, "the landing's base"),
    decisions: message.decisions,
    conversation: conversationFromWire(message.conversation),
    operations: message.operations.map(operationFromWire),
  };
}

/** `limit`: 0 for all. */
export function listLandingsToWire(project: string, request: ListLandings, limit = 0): ListLandingsRequest {
  return {
    project,
    after: BigInt(request.after ?? 0),
    upTo: request.upTo === undefined ? undefined : BigInt(request.upTo),
    paths: request.paths ?? [],
    author: request.author ?? "",
    limit,
  };
}

export function listLandingsFromWire(message: ListLandingsRequest): ListLandings {
  const paths = pathsFromWire(message.paths);
  return {
    after: positionFromWire(message.after),
    ...(message.upTo === undefined ? {} : { upTo: positionFromWire(message.upTo) }),
    ...(paths === undefined ? {} : { paths }),
    ...(message.author === "" ? {} : { author: message.author }),
  };
}

/** A landing, or the conflict as the error that the wire carries. */
export function landedToWire(result: LandResult, landingId: LandingId): Landed {
  if (result.kind === "conflict") throw conflictError(result.paths);
  return {
    position: BigInt(result.position),
    root: hexToBytes(result.root),
    session: hexToBytes(result.session),
    landingId: hexToBytes(landingId),
  };
}

export function conflictError(paths: readonly string[]): MicError {
  const count = paths.length === 1 ? "1 path" : `${paths.length} paths`;
  return new MicError("conflict", `others changed ${count} since the base`, {
    hint: "sync, then land again",
    data: { paths },
  });
}

export function landedFromWire(message: Landed): FoundLanding {
  return {
    position: positionFromWire(message.position),
    root: hashFromWire(message.root, "the landed root"),
    session: sessionIdFromWire(message.session),
  };
}

export function foundToWire(found: FoundLanding, landingId: LandingId): Landed {
  return landedToWire({ kind: "landed", ...found }, landingId);
}
