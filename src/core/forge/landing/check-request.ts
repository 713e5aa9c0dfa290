/** What can be said about a land request without looking at the project. */
import { MicError } from "../../base/errors.ts";
import { parseLandingId, parseObjectId, parsePackId, parseSessionId, toPosition } from "../../base/ids.ts";
import { INLINE_CONTENT_BYTES_MAX, LANDING_OPERATIONS_MAX, TEXT_BYTES_MAX } from "../../base/limits.ts";
import type { List } from "../../base/list.ts";
import { comparePaths, isWithin, parseTreePath, type TreePath } from "../../base/path.ts";
import type { TreeEntry } from "../../codec/tree-entry.ts";
import type { LandRequest, Operation } from "../forge.ts";

/** Texts of a landing together: its record has to fit a frame. */
export const RECORD_TEXT_BYTES_MAX = 4 << 20;
const NAME_BYTES_MAX = 4096;
const PACKS_MAX = 1 << 15;
/** PATH_MAX. */
const SYMLINK_BYTES_MAX = 4096;

/** Everything but its operations: see OperationCheck. Errors: `usage`, `too-large`, `out-of-range`. */
export function checkLandRequest(request: LandRequest): void {
  parseLandingId(request.landingId);
  toPosition(request.base.position);
  parseObjectId(request.base.root);
  if (request.session !== undefined) parseSessionId(request.session);
  checkTexts(request);
  if (request.packs.length > PACKS_MAX)
    throw tooLarge(`${request.packs.length} packs in one landing`, PACKS_MAX);
  for (const pack of request.packs) parsePackId(pack);
  let frameBytes = 0;
  for (const frame of request.frames) frameBytes += frame.stored.length;
  if (frameBytes > INLINE_CONTENT_BYTES_MAX) {
    throw new MicError("too-large", `${frameBytes} bytes of content in one landing call`, {
      hint: "upload it as packs first",
    });
  }
}

/** A goal: some text, without NUL. */
export function checkGoal(goal: string): void {
  if (goal.trim() === "")
    throw new MicError("usage", "the goal is empty", { hint: "say what the landing is for" });
  checkText("goal", goal, TEXT_BYTES_MAX);
}

/** Returns its UTF-8 length. */
export function checkText(what: string, text: string, bytesMax: number): number {
  if (text.includes("\0")) throw new MicError("usage", `the ${what} contains NUL`);
  if (!text.isWellFormed()) throw new MicError("usage", `the ${what} is not valid Unicode`);
  const bytes = Buffer.byteLength(text);
  if (bytes > bytesMax) throw tooLarge(`a ${what} of ${bytes} bytes`, bytesMax);
  return bytes;
}

function checkTexts(request: LandRequest): void {
  checkGoal(request.goal);
  if (request.author.trim() === "") throw new MicError("usage", "the author is empty");
  checkText("author", request.author, NAME_BYTES_MAX);
  checkText("agent", request.agent, NAME_BYTES_MAX);
  let total = Buffer.byteLength(request.goal);
  for (const text of request.decisions) total += checkText("decision", text, TEXT_BYTES_MAX);
  for (const { role, text } of request.conversation) {
    total += checkText("conversation role", role, NAME_BYTES_MAX);
    total += checkText("conversation message", text, TEXT_BYTES_MAX);
  }
  if (total > RECORD_TEXT_BYTES_MAX)
    throw tooLarge(`${total} bytes of goal, decisions and conversation`, RECORD_TEXT_BYTES_MAX);
}

/** Errors: `too-large`. */
export function checkOperationCount(count: number): void {
  if (count > LANDING_OPERATIONS_MAX)
    throw tooLarge(`${count} operations in one landing`, LANDING_OPERATIONS_MAX);
}

/** Errors: `usage`, `unsafe-path`, `too-large`. */
export function checkOperations(operations: List<Operation>): void {
  checkOperationCount(operations.length);
  const check = new OperationCheck();
  for (const operation of operations) check.next(operation);
}

/** Asked operation by operation: sorted, one per path, safe paths, and no put below another put. */
export class OperationCheck {
  #previous: TreePath | undefined;
  #lastPut: TreePath | undefined;

  /** Errors: `usage`, `unsafe-path`. */
  next(operation: Operation): void {
    const path = parseTreePath(operation.path);
    if (this.#previous !== undefined && comparePaths(this.#previous, path) >= 0) {
      throw new MicError("usage", "the operations are not sorted by path, one per path", {
        data: { paths: [this.#previous, path] },
      });
    }
    this.#previous = path;
    if (operation.kind !== "put") return;
    checkEntry(operation.entry, path);
    // In key order everything below a path follows it at once, so looking one put back is enough.
    if (this.#lastPut !== undefined && isWithin(path, this.#lastPut)) {
      throw fileAndDirectory(this.#lastPut, path);
    }
    this.#lastPut = path;
  }
}

export function fileAndDirectory(file: TreePath, below: TreePath): MicError {
  const message = `${JSON.stringify(file)} would be a file and the directory of ${JSON.stringify(below)}`;
  return new MicError("usage", message, { hint: "remove one of them", data: { paths: [file, below] } });
}

function checkEntry(entry: TreeEntry, path: TreePath): void {
  // Ids are checked when they are encoded.
  const { kind, size, chunks } = entry;
  const isKnownKind = kind === "file" || kind === "executable" || kind === "symlink";
  const isSizeValid = Number.isSafeInteger(size) && size >= 0;
  if (!isKnownKind || !isSizeValid) {
    throw new MicError("usage", `the entry at ${JSON.stringify(path)} is not valid`, {
      data: { paths: [path] },
    });
  }
  if (kind !== "symlink") return;
  if (chunks !== undefined || size === 0 || size > SYMLINK_BYTES_MAX) {
    throw new MicError("usage", `the symlink ${JSON.stringify(path)} has a target of ${size} bytes`, {
      data: { paths: [path] },
    });
  }
}

function tooLarge(what: string, max: number): MicError {
  return new MicError("too-large", `${what}; the limit is ${max}`);
}
