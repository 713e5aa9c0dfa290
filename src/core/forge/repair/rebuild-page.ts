/**
 * Writes a page of the manifest anew from the packs and pages that it listed. Its hash, which the lists above it name,
 * proves that it is the same.
 */
import { throwIfAborted } from "../../base/clock.ts";
import { isMicError } from "../../base/errors.ts";
import { hashObject } from "../../base/hash.ts";
import type { Epoch, ObjectId, PackId, Position } from "../../base/ids.ts";
import { decodeLandingRecord, type LandingRecord } from "../../codec/landing-record.ts";
import { decodeManifestPage, encodeManifestPage, type ManifestPage } from "../../codec/manifest-page.ts";
import { decodePackTrailer, packIdOf } from "../../codec/pack.ts";
import { daysToEpoch, type ManifestPack } from "../../codec/pack-entry.ts";
import type { PageRef } from "../../codec/page-ref.ts";
import { packsPrefix, projectPrefix } from "../../objects/keys.ts";
import { parseStoredKey } from "../../objects/stored-key.ts";
import { rangeOf } from "../head/manifest.ts";
import { salvage } from "./salvage.ts";
import { keysBelow, type SearchPlaces } from "./search.ts";

/** Lists that are tried. */
const TRIES_MAX = 1000;

interface StoredPack {
  readonly entry: Omit<ManifestPack, "first" | "last" | "hasRecords">;
  /** In position order; none in a pack that was uploaded. */
  readonly records: readonly LandingRecord[];
}

/** The bytes of the page; `undefined` when no list that can be made of what is stored has its hash. */
export async function rebuildPage(places: SearchPlaces, ref: PageRef): Promise<Uint8Array | undefined> {
  const pages =
    ref.level === 0 ? listsOfPacks(await storedPacks(places), ref) : await listsOfPages(places, ref);
  let tries = 0;
  for (const page of pages) {
    if (++tries > TRIES_MAX) return undefined;
    const bytes = encodeManifestPage(page);
    if (hashObject(bytes) === ref.hash) return bytes;
  }
  return undefined;
}

/** Packs that no sound list names. */
async function storedPacks(places: SearchPlaces): Promise<StoredPack[]> {
  const { context, project, named, signal } = places;
  const known = new Set(named.map(({ epoch, pack }) => `${epoch}/${pack}`));
  const packs: StoredPack[] = [];
  for await (const key of keysBelow(places, packsPrefix(project))) {
    throwIfAborted(signal);
    const { kind, days, id } = parseStoredKey(project, key);
    const epoch = daysToEpoch(days);
    if (kind !== "pack" || known.has(`${epoch}/${id}`)) continue;
    const stored = await context.store.get(key, { fresh: true });
    if (stored === undefined || packIdOf(stored.bytes) !== id) continue;
    const { tailLength } = decodePackTrailer(stored.bytes);
    const entry = { pack: id as PackId, epoch, size: stored.bytes.length, indexLength: tailLength };
    packs.push({ entry, records: recordsOf(stored.bytes) });
  }
  return packs;
}

function recordsOf(bytes: Uint8Array): readonly LandingRecord[] {
  const records: LandingRecord[] = [];
  for (const { kind, content } of salvage(bytes)) {
    if (kind === "record") records.push(decodeLandingRecord(new Uint8Array(content)));
  }
  return records;
}

/** As landings make them: before each pack of records the uploads that its landings brought. */
function* listsOfPacks(stored: readonly StoredPack[], ref: PageRef): Generator<ManifestPage> {
  const uploads = new Map<PackId, StoredPack>();
  const byFirst = new Map<Position, StoredPack[]>();
  for (const pack of stored) {
    const [first] = pack.records;
    if (first === undefined) uploads.set(pack.entry.pack, pack);
    else byFirst.set(first.position, [...(byFirst.get(first.position) ?? []), pack]);
  }
  for (const chain of chainsOf(byFirst, ref.first, ref.last, undefined)) {
    const packs = chain.flatMap((pack) => entriesOf(pack, uploads));
    // A page may begin behind the uploads of its first landing.
    for (let from = 0; from < packs.length; from++) {
      yield { level: 0, packs: packs.slice(from) };
      if (packs[from]!.hasRecords) break;
    }
  }
}

function* chainsOf(
  byFirst: ReadonlyMap<Position, readonly StoredPack[]>,
  first: Position,
  last: Position,
  root: ObjectId | undefined,
): Generator<readonly StoredPack[]> {
  for (const pack of byFirst.get(first) ?? []) {
    const newest = pack.records.at(-1)!;
    if (newest.position > last || (root !== undefined && pack.records[0]!.parentRoot !== root)) continue;
    if (newest.position === last) yield [pack];
    else {
      const next = (newest.position + 1) as Position;
      for (const rest of chainsOf(byFirst, next, last, newest.root)) yield [pack, ...rest];
    }
  }
}

function entriesOf({ entry, records }: StoredPack, uploads: ReadonlyMap<PackId, StoredPack>): ManifestPack[] {
  const brought = new Map<PackId, ManifestPack>();
  for (const { packs, position } of records) {
    for (const pack of packs) {
      const upload = uploads.get(pack);
      if (upload === undefined) continue;
      const first = brought.get(pack)?.first ?? position;
      brought.set(pack, { ...upload.entry, hasRecords: false, first, last: position });
    }
  }
  const sorted = [...brought.values()].sort((a, b) => a.last - b.last);
  const first = records[0]!.position;
  return [...sorted, { ...entry, hasRecords: true, first, last: records.at(-1)!.position }];
}

async function listsOfPages(places: SearchPlaces, ref: PageRef): Promise<ManifestPage[]> {
  const { context, project } = places;
  const found: PageRef[] = [];
  for await (const key of keysBelow(places, `${projectPrefix(project)}pages/`)) {
    const { kind, days, id } = parseStoredKey(project, key);
    if (kind !== "page") continue;
    const stored = await context.store.get(key, { fresh: true });
    if (stored === undefined || hashObject(stored.bytes) !== id) continue;
    const page = readablePage(stored.bytes);
    if (page?.level !== ref.level - 1) continue;
    const range = rangeOf("packs" in page ? page.packs : page.pages);
    if (range.first < ref.first || range.last > ref.last) continue;
    const epoch: Epoch = daysToEpoch(days);
    found.push({ hash: id as ObjectId, epoch, level: page.level, ...range });
  }
  found.sort((a, b) => a.first - b.first || a.last - b.last);
  return [{ level: ref.level, pages: found }];
}

function readablePage(bytes: Uint8Array): ManifestPage | undefined {
  try {
    return decodeManifestPage(bytes);
  } catch (error) {
    if (isMicError(error)) return undefined;
    throw error;
  }
}
