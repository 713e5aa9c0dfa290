/**
 * In which order tree nodes stand in a merged pack. Nodes of the newest tree of the run come first, level by level
 * and by key: that is how a tree is read. The others follow by level, first key and position, so that versions of a
 * node, which share most of their bytes, share frames.
 */

import { hexToBytes } from "../../base/bytes.ts";
import { decodeHints } from "../../codec/hints.ts";
import { decodeLandingRecord, type LandingRecord } from "../../codec/landing-record.ts";
import { decodeNode } from "../../prolly/node.ts";
import type { TreeNode } from "../../prolly/tree-node.ts";
import type { Pace } from "./pace.ts";
import type { RunReader } from "./run-reader.ts";

export interface NodeOrder {
  readonly newest: readonly number[];
  readonly older: readonly number[];
}

interface NodePlace {
  readonly object: number;
  readonly level: number;
  readonly firstKey: Buffer;
}

/** `salt`: 8 bytes, of the project. */
export async function orderNodes(run: RunReader, salt: Uint8Array, pace: Pace): Promise<NodeOrder> {
  const nodes: NodePlace[] = [];
  const node = (object: number): TreeNode => {
    const { content, sidecar } = run.read(object);
    const hints = decodeHints(sidecar, (content[6] ?? 0) | ((content[7] ?? 0) << 8));
    return decodeNode({ bytes: content, hints }, salt);
  };
  for (let object = 0; object < run.count; object++) {
    if (run.kindOf(object) !== "node") continue;
    const decoded = node(object);
    nodes.push({ object, level: decoded.level, firstKey: Buffer.from(decoded.key(0)) });
    await pace.step();
  }
  const isNewest = new Set<number>();
  const pending = newestRoot(run);
  for (let object = pending.pop(); object !== undefined; object = pending.pop()) {
    isNewest.add(object);
    const decoded = node(object);
    if (decoded.level === 0) continue;
    for (let i = 0; i < decoded.count; i++) {
      const child = run.find(decoded.bytes, decoded.hashAt(i));
      if (child !== -1 && run.kindOf(child) === "node" && !isNewest.has(child)) pending.push(child);
    }
    await pace.step();
  }
  nodes.sort((a, b) => b.level - a.level || Buffer.compare(a.firstKey, b.firstKey) || a.object - b.object);
  return {
    newest: nodes.filter(({ object }) => isNewest.has(object)).map(({ object }) => object),
    older: nodes.filter(({ object }) => !isNewest.has(object)).map(({ object }) => object),
  };
}

/** The root of the run's last position, if the run holds it. */
function newestRoot(run: RunReader): number[] {
  let last: LandingRecord | undefined;
  for (const { content } of run.records()) last = decodeLandingRecord(content);
  const root = last === undefined ? -1 : run.find(hexToBytes(last.root));
  return root !== -1 && run.kindOf(root) === "node" ? [root] : [];
}
