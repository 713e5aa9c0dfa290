/**
 * Packs that go between a client and the store directly, with URLs that the store signed. What a client puts there is
 * nobody's: it lies under a staging key until it was read back, verified, and stored under its own name from the bytes
 * that were verified.
 */
import { bytesToHex } from "../../base/bytes.ts";
import { corrupt, isMicError, MicError } from "../../base/errors.ts";
import { epochOf, type PackId, type ProjectId, parseEpoch, parsePackId } from "../../base/ids.ts";
import { packKey, stagingKey } from "../../objects/keys.ts";
import type { PresigningStore } from "../../store/presign.ts";
import type { ForgeContext } from "../context.ts";
import type { CallOptions, PackPlace, UploadPlace } from "../forge.ts";
import { openSnapshot } from "../log/positions.ts";
import { findPack } from "./read-pack.ts";

/** Above this a pack is read back in pieces that a server has no memory for. */
export const DIRECT_PACK_BYTES_MAX = 64 << 20;
/** Time for an upload of that size over a slow line. */
const UPLOAD_SECONDS = 900;
const DOWNLOAD_SECONDS = 900;
const UPLOAD_ID_BYTES = 16;
/** Epoch, id and size. */
const UPLOAD = /^(\d{4}-\d{2}-\d{2})\.([0-9a-f]{32})\.([1-9]\d{0,8})$/;

/** Errors: `too-large`. */
export async function startUpload(
  context: ForgeContext,
  presigning: PresigningStore,
  project: ProjectId,
  size: number,
): Promise<UploadPlace> {
  checkSize(size);
  const epoch = epochOf(await context.store.nowMs());
  const id = bytesToHex(context.random.bytes(UPLOAD_ID_BYTES));
  const place = await presigning.presignPut(stagingKey(project, epoch, id), UPLOAD_SECONDS, { size });
  return { ...place, upload: `${epoch}.${id}.${size}` };
}

/** Bytes of what is to be put there. Errors: `usage`, `too-large`. */
export function uploadSize(upload: string): number {
  return parseUpload(upload).size;
}

/** Errors: `usage`, `too-large`, `not-found`, `corrupt`. */
export async function finishUpload(
  context: ForgeContext,
  project: ProjectId,
  upload: string,
  options: CallOptions = {},
): Promise<PackId> {
  const { epoch, id, size } = parseUpload(upload);
  const key = stagingKey(project, epoch, id);
  // One byte more than there may be, so that more is noticed and not read.
  const stored = await context.store.get(key, { ...options, range: { offset: 0, length: size + 1 } });
  if (stored === undefined) {
    throw new MicError("not-found", "nothing was put at the upload's URL", { hint: "upload it again" });
  }
  if (stored.bytes.length !== size) {
    throw corrupt("the upload", `${stored.bytes.length} bytes, not the ${size} that were announced`);
  }
  const pack = await context.project(project).putPack(stored.bytes, options);
  try {
    await context.store.delete([key]);
  } catch (error) {
    // The collector takes what is left.
    if (!isMicError(error)) throw error;
  }
  return pack;
}

export async function findPackPlace(
  context: ForgeContext,
  presigning: PresigningStore,
  project: ProjectId,
  pack: PackId,
  options: CallOptions = {},
): Promise<PackPlace | undefined> {
  parsePackId(pack);
  const snapshot = await openSnapshot(context, project, options);
  for await (const { epoch, size } of findPack(context, snapshot, pack)) {
    const { url, expiresAtMs } = await presigning.presignGet(packKey(project, epoch, pack), DOWNLOAD_SECONDS);
    return { url, size, expiresAtMs };
  }
  return undefined;
}

function parseUpload(upload: string): {
  readonly epoch: ReturnType<typeof parseEpoch>;
  readonly id: string;
  readonly size: number;
} {
  const match = UPLOAD.exec(upload);
  if (match === null) {
    throw new MicError("usage", `${JSON.stringify(upload.slice(0, 100))} is not an upload`, {
      hint: "say what the start of the upload answered",
    });
  }
  const size = Number(match[3]);
  checkSize(size);
  return { epoch: parseEpoch(match[1]!), id: match[2]!, size };
}

function checkSize(size: number): void {
  if (!Number.isSafeInteger(size) || size < 1) {
    throw new MicError("usage", "the size of the pack is missing", { hint: "give it in bytes" });
  }
  if (size > DIRECT_PACK_BYTES_MAX) {
    throw new MicError("too-large", `a pack of ${size} bytes; the limit is ${DIRECT_PACK_BYTES_MAX}`);
  }
}
