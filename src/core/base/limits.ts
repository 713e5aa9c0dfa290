/** Sizes that several layers must agree on. Bytes unless the name says otherwise. */

/** A tree key (a path with its separators as 0x00). */
export const KEY_BYTES_MAX = 4096;
/** Files above this are split by content-defined chunking. */
export const CHUNK_THRESHOLD_BYTES = 1 << 20;
/** Raw size at which a frame of small blobs is closed (docs/adr/0011-smaller-frames.md). */
export const BLOB_FRAME_RAW_BYTES = 128 << 10;
/** Raw size at which a frame of tree nodes is closed; nodes are read alone. */
export const NODE_FRAME_RAW_BYTES = 16 << 10;
/** A reader refuses frames that claim to expand to more than this. */
export const FRAME_RAW_BYTES_MAX = 8 << 20;
/** A client closes a pack of uploaded content at this stored size. Packs, and a few that were just freed, stay in memory. */
export const PACK_TARGET_BYTES = 8 << 20;
/** A reader refuses packs above this. */
export const PACK_BYTES_MAX = 1 << 30;
/** Stored content up to this travels inside the landing call. */
export const INLINE_CONTENT_BYTES_MAX = 8 << 20;
export const LANDING_OPERATIONS_MAX: number = 1 << 22;
/** Landings that are imported in one call: at most what one batch of the forge takes. */
export const IMPORT_LANDINGS_MAX = 128;
/** The head object. */
export const HEAD_BYTES_MAX = 64 << 10;
/** A goal, a decision, or one conversation message. */
export const TEXT_BYTES_MAX = 1 << 20;
/** Files above this need `--allow-large` when they are new. */
export const LARGE_FILE_BYTES = 100 << 20;
