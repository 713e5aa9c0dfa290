/**
 * The project's policy, for every way to land. The one in the tree that a landing follows counts. Which that is knows
 * only the batch (batch.ts): it takes no landing that was not searched when that tree's policy refuses secrets. What is
 * here searches before, outside of the turn to land, and again when the batch says that the policy has come meanwhile.
 *
 * A refusal is an answer, so it is given only by the newest head, after the look-up of the landing in it. It stays
 * true: a swap that was sent without an answer and may yet be applied was built on that head or not at all, and was
 * searched under the same policy; but for a policy that cannot be read any more, which the refusal says.
 */
import { isMicError } from "../../base/errors.ts";
import type { PackCache } from "../../objects/pack-cache.ts";
import { type LandingPolicy, NO_POLICY, policyOfEntry } from "../../secrets/policy.ts";
import { refusedByPolicy } from "../../secrets/refusal.ts";
import type { UploadedPack, UploadedPacks } from "../content/uploaded-packs.ts";
import type { HeadInfo, LandResult } from "../forge.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { POLICY_KEY } from "../log/tree-policies.ts";
import { editOf } from "./edits.ts";
import { findSecretsBrought } from "./find-secrets.ts";
import { answerImport, type PreparedImport } from "./prepared-import.ts";
import type { PreparedLanding } from "./prepared-landing.ts";
import { ReadBeforeLanding } from "./read-before-landing.ts";

/** A batch cannot take a landing that was not searched, or that brings a policy which was not read. Never leaves this folder. */
export class NotSearched extends Error {}

export interface PolicyPlaces {
  readonly uploads: UploadedPacks;
  readonly cache: PackCache;
  /** Whoever lands is this process itself. */
  readonly trustWriters: boolean;
  /** The newest snapshot known, without asking the store. */
  known(): Snapshot | undefined;
  /** The newest, after asking the store. */
  snapshot(): Promise<Snapshot>;
  storeMs(): Promise<number>;
  readonly signal?: AbortSignal | undefined;
}

/** Errors: those of `publish`, those of reading, `unsafe-path` with `paths` and `secrets`. */
export async function landUnderPolicy(
  landing: PreparedLanding,
  places: PolicyPlaces,
  publish: (landing: PreparedLanding) => Promise<LandResult>,
): Promise<LandResult> {
  const { landingId, base } = landing.request;
  const changesPolicy = editOf(landing.edits, POLICY_KEY) !== -1;
  if (!changesPolicy && bringsNothing(landing)) return await publish({ ...landing, isSearched: true });
  let snapshot = places.known() ?? (await places.snapshot());
  for (;;) {
    let judged: PreparedLanding;
    try {
      judged = await judgeLanding(landing, changesPolicy, snapshot, places);
    } catch (error) {
      const { etag } = snapshot;
      snapshot = await places.snapshot();
      const isIn = (await snapshot.findLanding(landingId, base.position)) !== undefined;
      if (isIn) return await publish(landing);
      if ((await snapshot.policy()).secrets === "refuse") throw error;
      // An older head's policy refused it; what it brings of its own would fail again.
      const isOutdated = isMicError(error, "unsafe-path") && snapshot.etag !== etag;
      if (changesPolicy && !isOutdated) throw error;
      continue;
    }
    try {
      return await publish(judged);
    } catch (error) {
      if (!(error instanceof NotSearched)) throw error;
    }
    snapshot = await places.snapshot();
  }
}

/** Each by the policy of the tree before it. Errors: as of a landing. */
export async function importUnderPolicy(
  prepared: PreparedImport,
  places: PolicyPlaces,
  publish: (prepared: PreparedImport) => Promise<HeadInfo>,
): Promise<HeadInfo> {
  const { after } = prepared;
  for (;;) {
    const snapshot = await places.snapshot();
    const { position, root } = snapshot.head;
    let judged = prepared;
    // Otherwise it has been imported, or cannot be.
    if (position === after.position && root === after.root) {
      try {
        judged = { ...prepared, landings: await judgeImport(prepared, snapshot, places) };
      } catch (error) {
        const answer = await answerImport(await places.snapshot(), prepared, () => undefined);
        if (answer === undefined) throw error;
        return answer;
      }
    }
    try {
      return await publish(judged);
    } catch (error) {
      if (!(error instanceof NotSearched)) throw error;
    }
  }
}

async function judgeLanding(
  landing: PreparedLanding,
  changesPolicy: boolean,
  snapshot: Snapshot,
  places: PolicyPlaces,
): Promise<PreparedLanding> {
  const isKnownClean = places.trustWriters && landing.request.isSearched === true;
  const policy = isKnownClean ? NO_POLICY : await snapshot.policy();
  const isAsked = policy.secrets === "refuse";
  if (!isAsked && !changesPolicy) return isKnownClean ? { ...landing, isSearched: true } : landing;
  const uploads = await uploadsOf(landing, places);
  let judged = landing;
  if (changesPolicy) {
    const policyAfter = await policyOf(landing, uploads, snapshot, places);
    if (policyAfter !== undefined) judged = { ...judged, policyAfter };
  }
  if (isAsked) {
    const landings = [landing];
    const search = { snapshot, uploads, cache: places.cache, signal: places.signal };
    const found = await findSecretsBrought({ landings, isAsked: () => true, places: search });
    if (found !== undefined) throw refusedByPolicy(found.secrets, policy);
  }
  return isAsked || isKnownClean ? { ...judged, isSearched: true } : judged;
}

async function judgeImport(
  { landings, allowsSecrets }: PreparedImport,
  snapshot: Snapshot,
  places: PolicyPlaces,
): Promise<readonly PreparedLanding[]> {
  let policy = await snapshot.policy();
  const [first] = landings;
  if (first === undefined) return landings;
  const changes = landings.some(({ edits }) => editOf(edits, POLICY_KEY) !== -1);
  if (!changes && policy.secrets !== "refuse") return landings;
  // Theirs together.
  const uploads = await uploadsOf(first, places);
  const policies: LandingPolicy[] = [];
  const judged: PreparedLanding[] = [];
  for (const landing of landings) {
    policies.push(allowsSecrets ? NO_POLICY : policy);
    const policyAfter = await policyOf(landing, uploads, snapshot, places);
    judged.push({ ...landing, isSearched: true, ...(policyAfter === undefined ? {} : { policyAfter }) });
    policy = policyAfter ?? policy;
  }
  const search = { snapshot, uploads, cache: places.cache, signal: places.signal };
  const isAsked = (i: number): boolean => policies[i]!.secrets === "refuse";
  const found = await findSecretsBrought({ landings, isAsked, places: search });
  if (found === undefined) return judged;
  throw refusedByPolicy(found.secrets, policies[found.landing]!, landings[found.landing]!.given!.position);
}

/** The policy after a landing; undefined where it leaves that file alone. */
async function policyOf(
  { request, edits, frames, located }: PreparedLanding,
  uploads: readonly UploadedPack[],
  snapshot: Snapshot,
  { cache }: PolicyPlaces,
): Promise<LandingPolicy | undefined> {
  const edit = editOf(edits, POLICY_KEY);
  if (edit === -1) return undefined;
  const operation = request.operations.at(edit)!;
  const entry = operation.kind === "put" ? operation.entry : undefined;
  return await policyOfEntry(entry, async ({ id }) => {
    const reading = new ReadBeforeLanding({ frames, uploads, snapshot, cache });
    const told = operation.kind === "put" ? operation.hint : 0;
    const { content } = await reading.read({ id, hint: told === 0 ? (located?.get(id) ?? 0) : told });
    return content;
  });
}

async function uploadsOf({ request }: PreparedLanding, places: PolicyPlaces): Promise<UploadedPack[]> {
  const uploads: UploadedPack[] = [];
  if (request.packs.length === 0) return uploads;
  const storeMs = await places.storeMs();
  for (const pack of request.packs) uploads.push(await places.uploads.require(pack, storeMs));
  return uploads;
}

function bringsNothing({ frames, request }: PreparedLanding): boolean {
  return frames.length === 0 && request.packs.length === 0;
}
