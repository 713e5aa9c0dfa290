/** What a key below a project is the name of: the inverse of keys.ts, for whoever lists everything. */

import { bytesToHex, utf8 } from "../base/bytes.ts";
import { hashBytes } from "../base/hash.ts";
import { epochOf, type ProjectId } from "../base/ids.ts";
import { projectPrefix } from "./keys.ts";

/** Kinds that an epoch and a hash name. The numbers are stored (codec/collection.ts). */
export const STORED_KINDS = {
  blob: 1,
  pack: 2,
  page: 3,
  rollup: 4,
  part: 5,
  session: 6,
  other: 7,
  staging: 8,
} as const;
export type StoredKind = keyof typeof STORED_KINDS;

export interface StoredKey {
  readonly kind: StoredKind;
  /** Epoch as days since 1970-01-01; 0 for a session and for `other`. */
  readonly days: number;
  /** Hex: the hash in the key, the session's or upload's id, or the first 16 bytes of the key's own hash for `other`. */
  readonly id: string;
}

const HASHED =
  /^(packs|blobs|pages|landing-log\/parts)\/(\d{4}-\d{2}-\d{2})\/([0-9a-f]{2})\/([0-9a-f]{64})(\.pack)?$/;
const ROLLUP = /^landing-log\/level-\d{1,2}\/(\d{4}-\d{2}-\d{2})\/\d{16}-([0-9a-f]{64})$/;
const SESSION = /^sessions\/([0-9a-f]{32})\.bin$/;
const STAGING = /^staging\/(\d{4}-\d{2}-\d{2})\/([0-9a-f]{32})$/;
const KIND_OF_FOLDER: Readonly<Record<string, StoredKind>> = {
  packs: "pack",
  blobs: "blob",
  pages: "page",
  "landing-log/parts": "part",
};
const DAY_MS = 86_400_000;
const DAYS_MAX = 0xffff;
const OTHER_ID_BYTES = 16;

export function parseStoredKey(project: ProjectId, key: string): StoredKey {
  const below = key.slice(projectPrefix(project).length);
  const hashed = HASHED.exec(below);
  if (hashed !== null) {
    const [, folder, epoch, start, id, suffix] = hashed;
    const kind = KIND_OF_FOLDER[folder!]!;
    const days = daysOf(epoch!);
    const isWhole = id!.startsWith(start!) && (suffix !== undefined) === (kind === "pack");
    if (isWhole && days !== undefined) return { kind, days, id: id! };
  }
  const rollup = ROLLUP.exec(below);
  if (rollup !== null) {
    const days = daysOf(rollup[1]!);
    if (days !== undefined) return { kind: "rollup", days, id: rollup[2]! };
  }
  const staging = STAGING.exec(below);
  if (staging !== null) {
    const days = daysOf(staging[1]!);
    if (days !== undefined) return { kind: "staging", days, id: staging[2]! };
  }
  const session = SESSION.exec(below);
  if (session !== null) return { kind: "session", days: 0, id: session[1]! };
  return { kind: "other", days: 0, id: bytesToHex(hashBytes(utf8(key)), 0, OTHER_ID_BYTES) };
}

const daysOfEpoch = new Map<string, number>();
const EPOCHS_REMEMBERED_MAX = 1000;

/** `undefined` for what only looks like a day. */
function daysOf(epoch: string): number | undefined {
  const known = daysOfEpoch.get(epoch);
  if (known !== undefined) return known;
  const days = Date.parse(`${epoch}T00:00:00Z`) / DAY_MS;
  // A 31st of February is read as a day in March.
  if (!(days >= 0 && days <= DAYS_MAX) || epochOf(days * DAY_MS) !== epoch) return undefined;
  if (daysOfEpoch.size >= EPOCHS_REMEMBERED_MAX) daysOfEpoch.clear();
  daysOfEpoch.set(epoch, days);
  return days;
}
