/** A land request that was checked as far as that is possible without the project, in the form the tree takes. */
import { MicError } from "../../base/errors.ts";
import { GarbagePace } from "../../base/garbage.ts";
import type { Hlc } from "../../base/hlc.ts";
import type { ObjectId, Position, SessionId } from "../../base/ids.ts";
import type { List } from "../../base/list.ts";
import type { Frame, ObjectKind } from "../../objects/frame.ts";
import { verifyFrame } from "../../objects/verify-pack.ts";
import type { LandingPolicy } from "../../secrets/policy.ts";
import type { LandRequest, Operation, PositionRef } from "../forge.ts";
import { checkLandRequest, checkOperationCount, OperationCheck } from "./check-request.ts";
import { type DigestedEdits, type Edits, EditsWriter } from "./edits.ts";

const PACE_OPERATIONS = 4096;
const NONE_VOUCHED: ReadonlyMap<ObjectId, VouchedFile> = new Map();

export interface SentObject {
  readonly kind: ObjectKind;
  /** Bytes. */
  readonly length: number;
}

/** A file in chunks: what this forge computed when it stored it. */
export interface VouchedFile {
  readonly id: ObjectId;
  /** Bytes. */
  readonly size: number;
}

export interface PreparedLanding {
  readonly request: LandRequest;
  /** Its own id, when the request names no session. */
  readonly session: SessionId;
  /** 64 hex digits: what has to match for a repeated id to be the same landing. */
  readonly digest: string;
  /** One per operation, in key order. */
  readonly edits: Edits;
  /** Content that goes into the landing's pack. */
  readonly frames: readonly Frame[];
  /** Objects in the frames. */
  readonly sent: ReadonlyMap<ObjectId, SentObject>;
  /** Stored bytes of the frames. */
  readonly frameBytes: number;
  /** Chunk lists whose file need not be hashed again. */
  readonly vouched: ReadonlyMap<ObjectId, VouchedFile>;
  /** Where the project has content that did not come with it and whose operations have no hint. */
  readonly located?: ReadonlyMap<ObjectId, Position>;
  /** Its session lands only once: another landing of it refuses this one. */
  readonly isOnly?: boolean;
  /** What it brings holds nothing that looks like a secret (under-policy.ts). */
  readonly isSearched?: boolean;
  /** The project's policy after it, when it changes that file. */
  readonly policyAfter?: LandingPolicy;
  /** Where another forge put it; absent for a landing that is made here. */
  readonly given?: GivenPlace;
}

export interface GivenPlace {
  readonly position: Position;
  readonly hlc: Hlc;
  /** What its operations must make of the tree before it. */
  readonly root: ObjectId;
}

/** Errors: `usage`, `unsafe-path`, `too-large`, `corrupt` for frames that are not what they say. */
export function prepareLanding(
  request: LandRequest,
  options: { readonly trustWriters: boolean },
): PreparedLanding {
  checkLandRequest(request);
  const content = prepareFrames(request.frames, options);
  const { edits, digest } = prepareOperations(request.base, request.operations);
  const session = request.session ?? (request.landingId as string as SessionId);
  return { request, session, digest, edits, ...content };
}

/** Errors: `usage` for anything but content, `corrupt` for frames that are not what they say. */
export function prepareFrames(
  frames: readonly Frame[],
  { trustWriters }: { readonly trustWriters: boolean },
): Pick<PreparedLanding, "frames" | "sent" | "frameBytes" | "vouched"> {
  const sent = new Map<ObjectId, SentObject>();
  let frameBytes = 0;
  for (const frame of frames) {
    if (!trustWriters) verifyFrame(frame);
    frameBytes += frame.stored.length;
    for (const { id, kind, length } of frame.objects) {
      if (kind !== "blob" && kind !== "chunk-list") {
        throw new MicError("usage", `a landing's frames hold content, not a ${kind}`);
      }
      sent.set(id, { kind, length });
    }
  }
  return { frames, sent, frameBytes, vouched: NONE_VOUCHED };
}

/** Errors: `usage`, `unsafe-path`, `too-large`. */
export function prepareOperations(base: PositionRef, operations: List<Operation>): DigestedEdits {
  checkOperationCount(operations.length);
  const check = new OperationCheck();
  const writer = new EditsWriter(base, operations.length);
  const pace = new GarbagePace();
  let passed = 0;
  for (const operation of operations) {
    check.next(operation);
    writer.add(operation);
    if (++passed % PACE_OPERATIONS === 0) pace.passed(PACE_OPERATIONS);
  }
  return writer.finish();
}
