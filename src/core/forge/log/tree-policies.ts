/** The policies of trees. They follow from the root, so each is looked up once, and mostly known before it is asked for. */
import { isMicError } from "../../base/errors.ts";
import type { ObjectId } from "../../base/ids.ts";
import { pathToKey } from "../../base/path.ts";
import { decodeTreeEntry } from "../../codec/tree-entry.ts";
import type { ObjectReader } from "../../objects/object-reader.ts";
import type { Tree } from "../../prolly/tree.ts";
import type { LeafEntry } from "../../prolly/types.ts";
import {
  type LandingPolicy,
  NO_POLICY,
  POLICY_PATH,
  policyOfEntry,
  UNREADABLE,
} from "../../secrets/policy.ts";

export const POLICY_KEY: Uint8Array = pathToKey(POLICY_PATH);
const ROOTS_MAX = 64;

export class TreePolicies {
  readonly #known = new Map<ObjectId, LandingPolicy>();

  /** Without a promise when it is known. The strictest while the file is damaged. Errors: those of reading. */
  of(tree: Tree, reader: ObjectReader): LandingPolicy | Promise<LandingPolicy> {
    return this.#known.get(tree.root) ?? this.#read(tree, reader);
  }

  known(root: ObjectId): LandingPolicy | undefined {
    return this.#known.get(root);
  }

  /** What follows from what a landing changed. */
  learn(root: ObjectId, policy: LandingPolicy): void {
    this.#known.delete(root);
    this.#known.set(root, policy);
    if (this.#known.size <= ROOTS_MAX) return;
    const [oldest] = this.#known.keys();
    if (oldest !== undefined) this.#known.delete(oldest);
  }

  async #read(tree: Tree, reader: ObjectReader): Promise<LandingPolicy> {
    const leaf = await tree.find(POLICY_KEY);
    try {
      const policy = await policyAt(leaf, reader);
      this.learn(tree.root, policy);
      return policy;
    } catch (error) {
      // Otherwise nobody could land, not even what puts it right.
      if (isMicError(error, "corrupt") || isMicError(error, "not-found")) return UNREADABLE;
      throw error;
    }
  }
}

async function policyAt(leaf: LeafEntry | undefined, reader: ObjectReader): Promise<LandingPolicy> {
  if (leaf === undefined) return NO_POLICY;
  return await policyOfEntry(decodeTreeEntry(leaf.value), async ({ id }) => {
    const { content } = await reader.read({ id, hint: leaf.hint });
    return content;
  });
}
