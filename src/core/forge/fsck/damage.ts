/** What a check found damaged, for a repair to go by. */
import type { ObjectId, Position } from "../../base/ids.ts";
import type { RollupRef } from "../../codec/head.ts";
import type { ManifestPack } from "../../codec/pack-entry.ts";
import type { PageRef } from "../../codec/page-ref.ts";
import type { ObjectKind } from "../../objects/frame.ts";

/** More are not looked for elsewhere. */
const LOST_MAX = 100_000;

/** An object that the history needs and no sound pack has. */
export interface LostObject {
  readonly id: ObjectId;
  readonly kind: ObjectKind;
  /** Where it was introduced, 0 if that is not known; who needs it. */
  readonly hint: number;
  readonly position: Position;
}

/** The record of a name that the meta says is the project's. */
export interface LostName {
  readonly name: string;
  readonly state: "current" | "redirect";
}

export class Damage {
  /** Packs of the lists that are missing, damaged, or not as their entry says. */
  readonly packs: ManifestPack[] = [];
  readonly pages: PageRef[] = [];
  readonly rollups: RollupRef[] = [];
  /** Names whose records are missing or damaged. */
  readonly names: LostName[] = [];
  /** Keys of other damaged objects that stay where they are: the head, the meta, organizations, sessions. */
  readonly kept: string[] = [];
  /** Keys of objects that nothing names and that are not what their names say. */
  readonly unnamed: string[] = [];
  readonly #lost = new Map<ObjectId, LostObject>();

  get lost(): readonly LostObject[] {
    return [...this.#lost.values()];
  }

  lose(object: LostObject): void {
    if (this.#lost.size < LOST_MAX && !this.#lost.has(object.id)) this.#lost.set(object.id, object);
  }
}
