/**
 * The store layout: every key that the forge reads or writes is made here.
 *
 * | key | written |
 * | --- | --- |
 * | `projects/{project}/head` | compare-and-swap only, never deleted |
 * | `projects/{project}/meta` | compare-and-swap |
 * | `projects/{project}/packs/{epoch}/{hh}/{pack}.pack` | immutable |
 * | `projects/{project}/blobs/{epoch}/{hh}/{id}` | immutable, loose objects |
 * | `projects/{project}/pages/{epoch}/{hh}/{hash}` | immutable pages that the head spills |
 * | `projects/{project}/landing-log/level-{n}/{epoch}/{start}-{hash}` | immutable rollups; `start` has 16 digits |
 * | `projects/{project}/landing-log/parts/{epoch}/{hh}/{hash}` | immutable parts of large rollups |
 * | `projects/{project}/sessions/{session}.bin` | compare-and-swap |
 * | `projects/{project}/staging/{epoch}/{upload}` | by whoever has a presigned URL: unproven, never named |
 * | `projects/{project}/gc/pass` | compare-and-swap: what the collector's last pass found |
 * | `projects/{project}/quarantine/{rest of the key}` | damaged objects that a repair kept aside |
 * | `names/{org}/{name}` | created if absent, then compare-and-swap; never deleted |
 * | `organizations/{org}/meta` | created if absent |
 *
 * `hh` is the first two digits of the hash; an epoch is the store's UTC day at the time of the upload.
 */
import { MicError } from "../base/errors.ts";
import {
  type Epoch,
  type ObjectId,
  type PackId,
  type Position,
  type ProjectId,
  parseEpoch,
  parseObjectId,
  parsePackId,
  parseProjectId,
  type SessionId,
} from "../base/ids.ts";
import type { CacheScope } from "../store/cache/tier.ts";

/** What the parts of a name must look like to be safe in a key; base/project-name.ts says more. */
const NAME_PART = /^[a-z0-9][a-z0-9._-]*$/;
const PACK_KEY = /^projects\/[0-9a-f]{32}\/packs\/(\d{4}-\d{2}-\d{2})\/([0-9a-f]{2})\/([0-9a-f]{64})\.pack$/;
const BLOB_KEY = /^projects\/[0-9a-f]{32}\/blobs\/(\d{4}-\d{2}-\d{2})\/([0-9a-f]{2})\/([0-9a-f]{64})$/;
const IMMUTABLE_KEY = /^projects\/[0-9a-f]{32}\/(?:(?:packs|pages|landing-log)|(blobs))\//;
/** Digits of the largest position, so that keys sort as their numbers do. */
const START_DIGITS = 16;

export const PROJECTS_PREFIX = "projects/";
export const NAMES_PREFIX = "names/";
export const ORGANIZATIONS_PREFIX = "organizations/";

export function projectPrefix(project: ProjectId): string {
  return `${PROJECTS_PREFIX}${project}/`;
}

export function headKey(project: ProjectId): string {
  return `${projectPrefix(project)}head`;
}

export function metaKey(project: ProjectId): string {
  return `${projectPrefix(project)}meta`;
}

/** All packs of a project, or those of one epoch. */
export function packsPrefix(project: ProjectId, epoch?: Epoch): string {
  const all = `${projectPrefix(project)}packs/`;
  return epoch === undefined ? all : `${all}${epoch}/`;
}

export function packKey(project: ProjectId, epoch: Epoch, pack: PackId): string {
  return `${packsPrefix(project, epoch)}${pack.slice(0, 2)}/${pack}.pack`;
}

/** The inverse, for listings; `undefined` for a key that is not a pack's. */
export function parsePackKey(key: string): { readonly epoch: Epoch; readonly pack: PackId } | undefined {
  const match = PACK_KEY.exec(key);
  if (match === null || match[2] !== match[3]!.slice(0, 2)) return undefined;
  return { epoch: parseEpoch(match[1]!), pack: parsePackId(match[3]!) };
}

export function blobsPrefix(project: ProjectId, epoch?: Epoch): string {
  const all = `${projectPrefix(project)}blobs/`;
  return epoch === undefined ? all : `${all}${epoch}/`;
}

export function blobKey(project: ProjectId, epoch: Epoch, id: ObjectId): string {
  return `${blobsPrefix(project, epoch)}${id.slice(0, 2)}/${id}`;
}

/** The inverse, for listings; `undefined` for a key that is not a loose object's. */
export function parseBlobKey(key: string): { readonly epoch: Epoch; readonly id: ObjectId } | undefined {
  const match = BLOB_KEY.exec(key);
  if (match === null || match[2] !== match[3]!.slice(0, 2)) return undefined;
  return { epoch: parseEpoch(match[1]!), id: parseObjectId(match[3]!) };
}

/** `hash`: BLAKE3-256 of the page's bytes, 64 hex digits. */
export function pageKey(project: ProjectId, epoch: Epoch, hash: string): string {
  return `${projectPrefix(project)}pages/${epoch}/${hash.slice(0, 2)}/${hash}`;
}

/** `level`: 1 or more. `start`: first position of the range. `hash`: BLAKE3-256 of the rollup's bytes. */
export function rollupKey(
  project: ProjectId,
  epoch: Epoch,
  level: number,
  start: Position,
  hash: string,
): string {
  const digits = String(start).padStart(START_DIGITS, "0");
  return `${projectPrefix(project)}landing-log/level-${level}/${epoch}/${digits}-${hash}`;
}

export function rollupPartKey(project: ProjectId, epoch: Epoch, hash: string): string {
  return `${projectPrefix(project)}landing-log/parts/${epoch}/${hash.slice(0, 2)}/${hash}`;
}

export function sessionsPrefix(project: ProjectId): string {
  return `${projectPrefix(project)}sessions/`;
}

export function sessionKey(project: ProjectId, session: SessionId): string {
  return `${sessionsPrefix(project)}${session}.bin`;
}

export function collectorPrefix(project: ProjectId): string {
  return `${projectPrefix(project)}gc/`;
}

/** What the collector's last pass found. */
export function collectorPassKey(project: ProjectId): string {
  return `${collectorPrefix(project)}pass`;
}

/** Damaged objects that a repair kept aside, under the rest of their own keys. */
export function quarantinePrefix(project: ProjectId): string {
  return `${projectPrefix(project)}quarantine/`;
}

/** `upload`: 32 hex digits. What is there is nobody's until it was verified and stored as something else. */
export function stagingKey(project: ProjectId, epoch: Epoch, upload: string): string {
  return `${stagingPrefix(project)}${epoch}/${upload}`;
}

export function stagingPrefix(project: ProjectId): string {
  return `${projectPrefix(project)}staging/`;
}

export function organizationKey(org: string): string {
  return `${ORGANIZATIONS_PREFIX}${namePart(org)}/meta`;
}

/** The names of an organization's projects. */
export function orgPrefix(org: string): string {
  return `${NAMES_PREFIX}${namePart(org)}/`;
}

export function nameKey(org: string, name: string): string {
  return `${orgPrefix(org)}${namePart(name)}`;
}

/** The inverse, for listings; `undefined` for a key that is not a name's. */
export function parseNameKey(key: string): { readonly org: string; readonly name: string } | undefined {
  const parts = key.split("/");
  const [prefix, org, name] = parts;
  if (parts.length !== 3 || `${prefix}/` !== NAMES_PREFIX) return undefined;
  if (!NAME_PART.test(org!) || !NAME_PART.test(name!)) return undefined;
  return { org: org!, name: name! };
}

/**
 * Where the content of a key may be cached: that of packs, pages and rollups everywhere, that of loose objects on this
 * machine (they are asked for by guess, and may be their owner's only), that of all others nowhere: it changes.
 */
export function cacheScopeOfKey(key: string): CacheScope | undefined {
  const match = IMMUTABLE_KEY.exec(key);
  if (match === null) return undefined;
  return match[1] === undefined ? "everywhere" : "nearby";
}

/** The project that a key below `projects/` belongs to. */
export function projectOfKey(key: string): ProjectId | undefined {
  const id = /^projects\/([0-9a-f]{32})\//.exec(key)?.[1];
  return id === undefined ? undefined : parseProjectId(id);
}

function namePart(part: string): string {
  if (!NAME_PART.test(part)) throw new MicError("usage", `${JSON.stringify(part)} cannot be part of a name`);
  return part;
}
