/** The nodes of one tree after the other. What an earlier tree had is not read again. */

import { hexToBytes } from "../../base/bytes.ts";
import { MicError } from "../../base/errors.ts";
import { GarbagePace } from "../../base/garbage.ts";
import { EMPTY_ROOT, type ObjectId, objectIdFromBytes, type Position } from "../../base/ids.ts";
import { NumberSet } from "../../base/number-set.ts";
import type { LandingRecord } from "../../codec/landing-record.ts";
import { PackNodeSource } from "../../objects/node-source.ts";
import { decodeNode, HASH_BYTES } from "../../prolly/node.ts";
import type { Snapshot } from "../log/snapshot.ts";
import type { ContentCheck } from "./content.ts";
import type { Damage } from "./damage.ts";
import type { Findings } from "./findings.ts";
import type { ObjectTable } from "./object-table.ts";

export class TreeCheck {
  readonly #table: ObjectTable;
  readonly #findings: Findings;
  readonly #damage: Damage;
  readonly #content: ContentCheck;
  readonly #nodes: PackNodeSource;
  readonly #salt: Uint8Array;
  /** Nodes that were visited, by their number. */
  readonly #seen = new NumberSet();
  readonly #pace = new GarbagePace();

  constructor(
    snapshot: Snapshot,
    table: ObjectTable,
    findings: Findings,
    damage: Damage,
    content: ContentCheck,
  ) {
    this.#table = table;
    this.#findings = findings;
    this.#damage = damage;
    this.#content = content;
    this.#nodes = new PackNodeSource(snapshot.reader);
    this.#salt = hexToBytes(snapshot.head.salt);
  }

  async check({ root, rootHint, position }: LandingRecord): Promise<void> {
    if (root !== EMPTY_ROOT) await this.#visit(root, rootHint, position);
  }

  async #visit(id: ObjectId, hint: number, position: Position): Promise<void> {
    const number = this.#table.findId(id);
    if (number !== -1 && !this.#seen.add(number)) return;
    const where = { object: id, position };
    await this.#findings.attempt(where, async () => {
      if (number === -1 || this.#table.kind(number) !== "node") {
        this.#damage.lose({ id, kind: "node", hint, position });
        throw new MicError("not-found", `tree node ${id} is in no sound pack`);
      }
      if (!this.#table.isHintRight(number, hint)) {
        this.#findings.warning("wrong-hint", `tree node ${id} was not introduced at ${hint}`, where);
      }
      const loaded = this.#nodes.load(hexToBytes(id), hint);
      const stored = loaded instanceof Promise ? await loaded : loaded;
      const node = decodeNode(stored, this.#salt);
      for (let i = 0; i < node.count; i++) {
        if (node.level === 0) {
          const check = this.#content.check(node.key(i), node.value(i), node.hints[i]!, position);
          if (check !== undefined) await check;
          continue;
        }
        const at = node.hashAt(i);
        const known = this.#table.find(node.bytes, at);
        if (known !== -1 && this.#seen.has(known)) continue;
        const child = objectIdFromBytes(node.bytes.subarray(at, at + HASH_BYTES));
        await this.#visit(child, node.hints[i]!, position);
      }
      this.#pace.passed(node.count);
    });
  }
}
