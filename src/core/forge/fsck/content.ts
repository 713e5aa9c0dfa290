/** What the entries of a tree refer to: present, of the right kind and size, under a path that may be there. */
import { corrupt, isMicError, MicError } from "../../base/errors.ts";
import type { ObjectId, Position } from "../../base/ids.ts";
import type { TreePath } from "../../base/path.ts";
import { decodeChunkList } from "../../codec/chunk-list.ts";
import { decodeTreeEntry, type TreeEntry } from "../../codec/tree-entry.ts";
import type { ObjectKind } from "../../objects/frame.ts";
import { PathDecoder } from "../../prolly/path-decoder.ts";
import { fileContent } from "../content/content.ts";
import type { Snapshot } from "../log/snapshot.ts";
import type { Damage } from "./damage.ts";
import type { Findings } from "./findings.ts";
import type { ObjectTable } from "./object-table.ts";

export class ContentCheck {
  readonly #snapshot: Snapshot;
  readonly #table: ObjectTable;
  readonly #findings: Findings;
  readonly #damage: Damage;
  readonly #paths = new PathDecoder();
  /** Chunked content that was read in full, by its id. */
  readonly #whole = new Set<ObjectId>();

  constructor(snapshot: Snapshot, table: ObjectTable, findings: Findings, damage: Damage) {
    this.#snapshot = snapshot;
    this.#table = table;
    this.#findings = findings;
    this.#damage = damage;
  }

  /** One entry. Findings, no errors; a promise only for chunked content. */
  check(key: Uint8Array, value: Uint8Array, hint: number, position: Position): Promise<void> | undefined {
    let path: TreePath | undefined;
    try {
      path = this.#paths.decode(key);
      const entry = decodeTreeEntry(value);
      if (entry.chunks === undefined) {
        const found = this.#require(entry.id, "blob", hint, position);
        if (found === entry.size) return undefined;
        throw corrupt(`the entry of ${path}`, `${found} bytes of content, not ${entry.size}`);
      }
      this.#require(entry.chunks, "chunk-list", hint, position);
      return this.#whole.has(entry.id) ? undefined : this.#checkChunked(path, entry, hint, position);
    } catch (error) {
      if (!isMicError(error)) throw error;
      this.#findings.error(error.code, error.message, { position, ...(path === undefined ? {} : { path }) });
      return undefined;
    }
  }

  async #checkChunked(path: TreePath, entry: TreeEntry, hint: number, position: Position): Promise<void> {
    this.#whole.add(entry.id);
    const where = { object: entry.id, position, path };
    await this.#findings.attempt(where, async () => {
      const list = await this.#snapshot.reader.read({ id: entry.chunks!, hint });
      for (const chunk of decodeChunkList(list.content, list.sidecar).chunks) {
        this.#require(chunk.id, "blob", chunk.hint === 0 ? hint : chunk.hint, position);
      }
      const { signal } = this.#findings;
      const pieces = fileContent(
        this.#snapshot.reader,
        { entry, hint },
        signal === undefined ? {} : { signal },
      );
      for await (const piece of pieces) void piece;
    });
  }

  /** Length of the object. Errors: `not-found`, `corrupt` for another kind. */
  #require(id: ObjectId, kind: ObjectKind, hint: number, position: Position): number {
    const table = this.#table;
    const number = table.findId(id);
    if (number === -1) {
      this.#damage.lose({ id, kind, hint, position });
      throw new MicError("not-found", `content ${id} is in no sound pack`);
    }
    const found = table.kind(number);
    if (found !== kind) throw corrupt(`content ${id}`, `is a ${found}, not a ${kind}`);
    if (!table.isHintRight(number, hint)) {
      const message = `content ${id} was not introduced at ${hint}`;
      this.#findings.warning("wrong-hint", message, { object: id, position });
    }
    return table.contentLength(number);
  }
}
