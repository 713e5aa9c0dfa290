/** Changes whose content is packed, as everybody needs them who takes part in landing them. */
import { type List, listOf } from "../../base/list.ts";
import type { TreePath } from "../../base/path.ts";
import type { PendingOperation } from "../../codec/pending-landing.ts";
import type { Operation, PositionRef } from "../../forge/forge.ts";
import type { SecretFinding } from "../../secrets/refusal.ts";
import { IndexRows } from "../index/rows.ts";
import type { IndexEntry } from "../index/workspace-index.ts";
import type { StatusChange } from "../results.ts";
import { isWorthSaying } from "../secrets/find.ts";
import type { PackedFiles, SizedFile } from "./packed-files.ts";

/** What a landing does to the index. */
export interface LandedRows {
  readonly upserts: List<IndexEntry>;
  readonly removes: readonly TreePath[];
}

/** `pack`: packs the files that the changes left, in their order. */
export async function packStatusChanges(
  changes: List<StatusChange>,
  pack: (files: List<SizedFile>) => Promise<PackedFiles>,
): Promise<PackedChanges> {
  const written = new Uint32Array(changes.length);
  let count = 0;
  let i = 0;
  for (const { kind } of changes) {
    if (kind !== undefined) written[count++] = i;
    i++;
  }
  const files = listOf(count, (file) => {
    const { path, kind, size } = changes.at(written[file]!)!;
    return { path, kind: kind!, size: size! };
  });
  return new PackedChanges(changes, written.subarray(0, count), await pack(files));
}

export class PackedChanges {
  readonly #changes: List<StatusChange>;
  /** Number of the change that left each packed file. */
  readonly #written: Uint32Array;
  readonly #files: PackedFiles;
  /** Number of the packed file of each change, -1 for a deletion. */
  readonly #fileOf: Int32Array;

  constructor(changes: List<StatusChange>, written: Uint32Array, files: PackedFiles) {
    this.#changes = changes;
    this.#written = written;
    this.#files = files;
    this.#fileOf = new Int32Array(changes.length).fill(-1);
    written.forEach((change, file) => {
      this.#fileOf[change] = file;
    });
  }

  /** Found in new content; of environment files only in those that are new themselves. */
  secrets(): readonly SecretFinding[] {
    return this.#files
      .secrets()
      .map(({ file, line, kind }) => ({ change: this.#changes.at(this.#written[file]!)!, line, kind }))
      .filter(({ change, kind }) => isWorthSaying(change, kind))
      .map(({ change: { path }, line, kind }) => ({ path, line, kind }));
  }

  /** For the forge. */
  operations(): List<Operation> {
    const files = this.#files;
    return listOf(this.#changes.length, (i) => {
      const { path } = this.#changes.at(i)!;
      const file = this.#fileOf[i]!;
      if (file === -1) return { kind: "delete", path };
      return { kind: "put", path, entry: files.entry(file), hint: files.hint(file) };
    });
  }

  /** For the workspace's own records. */
  pending(): List<PendingOperation> {
    const files = this.#files;
    return listOf(this.#changes.length, (i) => {
      const { path } = this.#changes.at(i)!;
      const file = this.#fileOf[i]!;
      const after = file === -1 ? undefined : { entry: files.entry(file), hint: files.hint(file) };
      return { path, after };
    });
  }

  /** For the index, once landed: content that the landing introduced has its position. */
  rows(landed: PositionRef): LandedRows {
    const files = this.#files;
    const removes: TreePath[] = [];
    for (let i = 0; i < this.#fileOf.length; i++) {
      if (this.#fileOf[i] === -1) removes.push(this.#changes.at(i)!.path);
    }
    const path = (file: number): TreePath => this.#changes.at(this.#written[file]!)!.path;
    const upserts = new IndexRows(files.length, path, (file) => {
      const hint = files.hint(file);
      return {
        path: path(file),
        entry: files.entry(file),
        hint: hint === 0 ? landed.position : hint,
        stat: files.stat(file),
      };
    });
    return { upserts, removes };
  }
}
