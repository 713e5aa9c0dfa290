/**
 * Landings of another forge's history, checked as far as that is possible without the project. They keep what
 * that forge gave them: position, ids, clock, roots. What their records say is not believed but made again from
 * their operations, and must come out the same.
 */
import { MicError } from "../../base/errors.ts";
import type { Hlc } from "../../base/hlc.ts";
import { type LandingId, type Position, parseObjectId, toPosition } from "../../base/ids.ts";
import { IMPORT_LANDINGS_MAX } from "../../base/limits.ts";
import type { HeadInfo, ImportLandings, Landing, LandRequest, PositionRef } from "../forge.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { checkLandRequest } from "./check-request.ts";
import { type PreparedLanding, prepareFrames, prepareOperations } from "./prepared-landing.ts";

const HLC_MAX: Hlc = (1n << 64n) - 1n;

export interface PreparedImport {
  readonly after: PositionRef;
  readonly landings: readonly PreparedLanding[];
  readonly allowsSecrets: boolean;
}

/** Errors: those of a landing, `too-large` for more landings than a batch takes, `corrupt`. */
export function prepareImport(
  request: ImportLandings,
  options: { readonly trustWriters: boolean },
): PreparedImport {
  const { after, landings, frames, packs } = request;
  toPosition(after.position);
  parseObjectId(after.root);
  if (landings.length > IMPORT_LANDINGS_MAX) {
    throw new MicError("too-large", `${landings.length} landings in one call`, {
      hint: `import at most ${IMPORT_LANDINGS_MAX} at once`,
    });
  }
  let content = prepareFrames(frames, options);
  const seen = new Set<LandingId>();
  const prepared: PreparedLanding[] = [];
  let previous: PositionRef & { readonly hlc?: Hlc } = { position: after.position, root: after.root };
  for (const landing of landings) {
    const { landingId, base, goal, author, agent, operations, session, decisions, conversation } = landing;
    checkPlace(landing, previous);
    const own = { landingId, base, goal, author, agent, operations, session, decisions, conversation };
    const asked: LandRequest = { ...own, packs, frames };
    checkLandRequest(asked);
    if (seen.has(landingId)) throw wrong(landing, `its id ${landingId} stands there twice`);
    seen.add(landingId);
    const { position, hlc, root } = landing;
    const { edits, digest } = prepareOperations(base, operations);
    prepared.push({ request: asked, session, digest, edits, ...content, given: { position, hlc, root } });
    previous = landing;
    // Theirs together: counted with the first.
    content = { ...content, frameBytes: 0 };
  }
  return { after, landings: prepared, allowsSecrets: request.allowSecrets === true };
}

/** Each follows the one before it. */
function checkPlace(landing: Landing, previous: PositionRef & { readonly hlc?: Hlc }): void {
  const { position, parentRoot, base, hlc } = landing;
  if (position !== previous.position + 1) {
    throw new MicError("usage", `position ${position} is imported after ${previous.position}`);
  }
  parseObjectId(landing.root);
  if (parentRoot !== previous.root) throw wrong(landing, "its parent is not the position before it");
  if (base.position >= position) throw wrong(landing, `its base is ${base.position}`);
  if (hlc < 0n || hlc > HLC_MAX || (previous.hlc !== undefined && hlc <= previous.hlc)) {
    throw wrong(landing, "its clock ran backwards");
  }
}

/**
 * What is committed says of them. The head when they are in already, as they are here; `undefined` when they may
 * follow now. Errors: `history-changed` when they follow another position than the head, `corrupt` when they
 * cannot be this project's history. `onAbsent`: they are certainly not in.
 */
export async function answerImport(
  snapshot: Snapshot,
  { after, landings }: PreparedImport,
  onAbsent: () => void,
): Promise<HeadInfo | undefined> {
  const { position, root, hlc, salt } = snapshot.head;
  const last = after.position + landings.length;
  const isAfterOurs = after.position <= position && (await snapshot.rootAt(after.position)) === after.root;
  if (isAfterOurs && last <= position && (await areIn(snapshot, landings))) {
    return { position, root, hlc, salt };
  }
  onAbsent();
  if (!isAfterOurs || after.position !== position) {
    throw new MicError("history-changed", `the project is at ${position}, not at ${after.position}`, {
      hint: "somebody else landed into it; what is imported must be the whole history",
      data: { position },
    });
  }
  const first = landings[0]?.given;
  if (first !== undefined && first.hlc <= hlc) {
    throw new MicError("corrupt", `landing ${first.position}: its clock ran backwards`);
  }
  for (const landing of landings) await checkAgainst(snapshot, landing, landings);
  return undefined;
}

async function areIn(snapshot: Snapshot, landings: readonly PreparedLanding[]): Promise<boolean> {
  for (const { request, digest, given } of landings) {
    const record = await snapshot.record(given!.position);
    if (record.landingId !== request.landingId || record.digest !== digest) return false;
  }
  return true;
}

async function checkAgainst(
  snapshot: Snapshot,
  { request, given }: PreparedLanding,
  landings: readonly PreparedLanding[],
): Promise<void> {
  const { base, landingId } = request;
  const { position } = snapshot.head;
  const root =
    base.position <= position
      ? await snapshot.rootAt(base.position)
      : landings[base.position - position - 1]!.given!.root;
  const what = `landing ${given!.position}`;
  if (root !== base.root) {
    throw new MicError("corrupt", `${what}: its base ${base.position} is not in this history`);
  }
  if (snapshot.head.ring.includes(landingId)) {
    throw new MicError("corrupt", `${what}: its id ${landingId} is in this history already`);
  }
}

function wrong({ position }: { readonly position: Position }, detail: string): MicError {
  return new MicError("corrupt", `landing ${position}: ${detail}`);
}
