/**
 * `.mic/settings`: which project of which forge a workspace belongs to. Replaced as a whole, atomically.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MSET` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 1 | u8 | flags: bit 0 the clone is not finished, bit 1 names differing only in case are one file here, bit 2 names differing only in Unicode normalisation are one file here |
 * | 7 | 1 | u8 | reserved, 0 |
 * | 8 | 16 | bytes | project id |
 * | 24 | 8 | bytes | lineage salt |
 * | 32 | 16 | bytes | open session, zeros when none |
 * | 48 | 8 | u64 LE | position that an unfinished clone is to reach |
 * | 56 | 32 | bytes | tree root at that position |
 * | 88 | v | string | address of the forge; `.mic/forge` for the one inside this workspace |
 * | … | v | string | `org/project` |
 * | … | v | paths | sparse paths: varint count, then each as a string |
 * | … | v | paths | untracked paths: still files here, deleted by the next landing |
 * | … | v | paths | tracked paths: landed next although an ignore rule covers them |
 * | … | 16 | bytes | seal (codec/sealed.ts) |
 */
import { ByteReader, ByteWriter, utf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import type { ObjectId, Position, ProjectId, SessionId } from "../base/ids.ts";
import { parseTreePath, type TreePath } from "../base/path.ts";
import { checkSeal, seal } from "./sealed.ts";

export const WORKSPACE_SETTINGS_MAGIC = "MSET";
export const WORKSPACE_SETTINGS_VERSION = 1;

/** Names that a file system takes for one. */
export interface NameFolding {
  readonly case: boolean;
  readonly normalization: boolean;
}

export interface WorkspaceSettings {
  /** As stored: an absolute directory, a URL, or `.mic/forge`. */
  readonly address: string;
  readonly project: ProjectId;
  /** `org/project`. */
  readonly projectName: string;
  /** 16 hex digits. */
  readonly salt: string;
  /** Empty: the whole tree. */
  readonly sparse: readonly TreePath[];
  /** Files that the next landing deletes from the project and leaves on disk. */
  readonly untracked: readonly TreePath[];
  /** Ignored files that the next landing adds all the same. */
  readonly tracked: readonly TreePath[];
  readonly session: SessionId | undefined;
  readonly folding: NameFolding;
  /** Set while a clone has not reached its position. */
  readonly cloning: { readonly position: Position; readonly root: ObjectId } | undefined;
}

const WHAT = "workspace settings";
const CLONING = 1;
const FOLDS_CASE = 2;
const FOLDS_NORMALIZATION = 4;
const NO_SESSION = "0".repeat(32);
const NO_ROOT = "0".repeat(64);

export function encodeWorkspaceSettings(settings: WorkspaceSettings): Uint8Array {
  const { cloning, folding } = settings;
  const writer = new ByteWriter(512);
  writer.bytes(utf8(WORKSPACE_SETTINGS_MAGIC)).u16(WORKSPACE_SETTINGS_VERSION);
  writer.u8(
    (cloning === undefined ? 0 : CLONING) |
      (folding.case ? FOLDS_CASE : 0) |
      (folding.normalization ? FOLDS_NORMALIZATION : 0),
  );
  writer
    .u8(0)
    .hex(settings.project)
    .hex(settings.salt)
    .hex(settings.session ?? NO_SESSION);
  writer.u64(cloning?.position ?? 0).hex(cloning?.root ?? NO_ROOT);
  writer.string(settings.address).string(settings.projectName);
  for (const paths of [settings.sparse, settings.untracked, settings.tracked]) {
    writer.varint(paths.length);
    for (const path of paths) writer.string(path);
  }
  return seal(writer);
}

/** Errors: `corrupt`, `unsupported` for another version. */
export function decodeWorkspaceSettings(bytes: Uint8Array): WorkspaceSettings {
  const reader = new ByteReader(bytes, WHAT, 0, checkSeal(bytes, WHAT));
  reader.expectMagic(WORKSPACE_SETTINGS_MAGIC);
  const version = reader.u16();
  if (version !== WORKSPACE_SETTINGS_VERSION) {
    throw new MicError("unsupported", `this workspace was written by another version of mic (${version})`, {
      hint: "use a newer mic",
    });
  }
  const flags = reader.u8();
  if ((flags & ~(CLONING | FOLDS_CASE | FOLDS_NORMALIZATION)) !== 0) throw reader.fail("unknown flags");
  if (reader.u8() !== 0) throw reader.fail("reserved byte is set");
  const project = reader.hex(16) as ProjectId;
  const salt = reader.hex(8);
  const session = reader.hex(16);
  const position = reader.safeU64() as Position;
  const root = reader.hex(32) as ObjectId;
  const address = reader.string();
  const projectName = reader.string();
  const sparse = readPaths(reader);
  const untracked = readPaths(reader);
  const tracked = readPaths(reader);
  reader.end();
  return {
    address,
    project,
    projectName,
    salt,
    sparse,
    untracked,
    tracked,
    session: session === NO_SESSION ? undefined : (session as SessionId),
    folding: { case: (flags & FOLDS_CASE) !== 0, normalization: (flags & FOLDS_NORMALIZATION) !== 0 },
    cloning: (flags & CLONING) === 0 ? undefined : { position, root },
  };
}

function readPaths(reader: ByteReader): TreePath[] {
  const paths: TreePath[] = [];
  for (let left = reader.count(reader.varint(), 2); left > 0; left--)
    paths.push(parseTreePath(reader.string()));
  return paths;
}
