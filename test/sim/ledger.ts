/** What clients asked for and what they were told, kept for the auditor. */
import type { ObjectId, Position } from "../../src/core/base/ids.ts";
import type { TreePath } from "../../src/core/base/path.ts";
import type { LandRequest } from "../../src/core/forge/forge.ts";

export type Answer =
  | { readonly kind: "landed"; readonly position: Position; readonly root: ObjectId }
  | { readonly kind: "conflict"; readonly paths: readonly TreePath[] }
  /** The id was already used for something else. */
  | { readonly kind: "reused" }
  /** Every attempt ended with an error that says it did not land, and the client gave up. */
  | { readonly kind: "failed"; readonly code: string };

export interface Attempted {
  readonly request: LandRequest;
  readonly digest: string;
  answer: Answer | undefined;
  /** An attempt ended without saying whether it landed. */
  isUncertain: boolean;
  /** Code of the last attempt that said that it did not land. */
  refusal: string | undefined;
}

export interface Sighting {
  readonly position: Position;
  readonly root: ObjectId;
}

/** Somebody whose word the auditor takes. */
export interface Witness {
  readonly name: string;
  readonly attempted: readonly Attempted[];
  readonly sightings: readonly Sighting[];
}
