/** The log of a project as of one head, as those see it who keep something of it in memory. A snapshot is one. */
import type { Position } from "../../base/ids.ts";
import type { Head } from "../../codec/head.ts";
import type { LandingRecord } from "../../codec/landing-record.ts";
import type { ETag } from "../../store/object-store.ts";
import type { Operation } from "../forge.ts";
import type { RolledUpLog } from "../rollup/segments.ts";

export interface ProjectLog extends RolledUpLog {
  readonly head: Pick<Head, "position" | "rollups">;
  readonly etag: ETag;
  /** Errors: `out-of-range` for 0 and beyond the head. */
  record(position: Position): Promise<LandingRecord>;
  /** The records of (after, upTo], newest first, in pages. */
  records(
    after: Position,
    upTo: Position,
    options?: { readonly signal?: AbortSignal },
  ): AsyncIterable<readonly LandingRecord[]>;
  /** The operations of a record that has them inline. */
  inlineOperations(record: LandingRecord): readonly Operation[];
}
