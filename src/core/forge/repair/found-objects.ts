/** Objects that were found again, kept until a new pack takes them in. */
import type { ObjectId, Position } from "../../base/ids.ts";
import { decodeLandingRecord, type LandingRecord } from "../../codec/landing-record.ts";
import type { ObjectContent } from "../../objects/read-frame.ts";
import type { SalvagedObject } from "./salvage.ts";

export class FoundObjects {
  readonly #wanted: Set<ObjectId>;
  readonly #objects = new Map<ObjectId, ObjectContent>();
  /** Positions of records that are wanted. */
  readonly #ranges: readonly { readonly first: number; readonly last: number }[];
  readonly #records = new Map<Position, Map<ObjectId, FoundRecord>>();

  constructor(
    wanted: Iterable<ObjectId>,
    ranges: readonly { readonly first: number; readonly last: number }[],
  ) {
    this.#wanted = new Set(wanted);
    this.#ranges = ranges;
  }

  /** What is wanted and was not found. */
  get missing(): readonly ObjectId[] {
    return [...this.#wanted].filter((id) => !this.#objects.has(id));
  }

  get(id: ObjectId): ObjectContent | undefined {
    return this.#objects.get(id);
  }

  /** Copies what is wanted. */
  offer(object: SalvagedObject): void {
    if (object.kind === "record") this.#offerRecord(object);
    if (!this.#wanted.has(object.id) || this.#objects.has(object.id)) return;
    const { kind, content, sidecar } = object;
    this.#objects.set(object.id, {
      kind,
      content: new Uint8Array(content),
      sidecar: new Uint8Array(sidecar),
    });
  }

  #offerRecord({ id, content }: SalvagedObject): void {
    if (this.#ranges.length === 0) return;
    const bytes = new Uint8Array(content);
    const record = decodeLandingRecord(bytes);
    const { position } = record;
    if (!this.#ranges.some(({ first, last }) => first <= position && position <= last)) return;
    const there = this.#records.get(position) ?? new Map<ObjectId, FoundRecord>();
    this.#records.set(position, there.set(id, { id, bytes, record }));
  }

  recordsAt(position: Position): readonly FoundRecord[] {
    return [...(this.#records.get(position)?.values() ?? [])];
  }
}

export interface FoundRecord {
  readonly id: ObjectId;
  readonly bytes: Uint8Array;
  readonly record: LandingRecord;
}
