/**
 * Paths that landings touched, by the newest landing that did. Clears what clashes with none of them; what it does
 * not clear has to be compared operation by operation (conflicts.ts).
 */
import type { Position } from "../../base/ids.ts";
import type { List } from "../../base/list.ts";
import { ancestorsOf, type TreePath } from "../../base/path.ts";
import type { Operation } from "../forge.ts";

export class TouchedPaths {
  readonly #touched = new Map<TreePath, number>();
  /** Directories below which something was put. */
  readonly #below = new Map<TreePath, number>();
  /** Newest landing whose operations are not here. */
  #unread = 0;

  /** Paths and directories. */
  get size(): number {
    return this.#touched.size + this.#below.size;
  }

  /** Of landings in order. `operations`: undefined when there are too many to be kept. */
  add(position: number, operations: List<Operation> | undefined): void {
    if (operations === undefined) {
      this.#unread = position;
      return;
    }
    for (const { kind, path } of operations) {
      this.#touched.set(path, position);
      if (kind === "put") for (const directory of ancestorsOf(path)) this.#below.set(directory, position);
    }
  }

  /** False: none of the landings after `base` clashes with these operations. */
  mayClash(operations: List<Operation>, base: Position | 0): boolean {
    if (this.#unread > base) return true;
    if (this.size === 0) return false;
    for (const { kind, path } of operations) {
      if (isAfter(this.#touched.get(path), base)) return true;
      if (kind === "delete") continue;
      if (isAfter(this.#below.get(path), base)) return true;
      for (const directory of ancestorsOf(path)) if (isAfter(this.#touched.get(directory), base)) return true;
    }
    return false;
  }
}

function isAfter(position: number | undefined, base: number): boolean {
  return position !== undefined && position > base;
}
