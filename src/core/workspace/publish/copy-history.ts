/**
 * A project's history from one forge to another, in bounded memory: batches of landings, each with its content.
 * The target verifies every landing, so what it has afterwards is the same history or an error.
 */
import { throwIfAborted } from "../../base/clock.ts";
import { isMicError, MicError } from "../../base/errors.ts";
import type { Position } from "../../base/ids.ts";
import { IMPORT_LANDINGS_MAX } from "../../base/limits.ts";
import type { Landing, PositionRef } from "../../forge/forge.ts";
import { ContentCopy, type CopyContext } from "./copy-content.ts";

/** Of one call, about: operations and texts. A larger landing goes alone. */
const CALL_BYTES_MAX = 4 << 20;
/** An operation with a path of usual length, about. */
const OPERATION_BYTES = 128;
/** Uploaded for one call, beyond which it takes no further landing. */
const CALL_PACKS_MAX = 4;

/**
 * Landings in (after, upTo]. `after` is the target's head. Returns where the target is then. Stopped anywhere, it can
 * go on from the target's head. Errors: `history-changed` when somebody lands into the target meanwhile.
 */
export async function copyHistory(
  context: CopyContext,
  range: { readonly after: PositionRef; readonly upTo: Position; readonly allowSecrets?: boolean },
  onProgress: (position: Position) => void,
): Promise<PositionRef> {
  let { after } = range;
  let landingsMax = IMPORT_LANDINGS_MAX;
  let isWhole = false;
  while (after.position < range.upTo) {
    throwIfAborted(context.options.signal);
    const count = Math.min(landingsMax, range.upTo - after.position);
    try {
      after = await copyBatch(context, after, { count, isWhole, allowSecrets: range.allowSecrets === true });
      onProgress(after.position);
      isWhole = false;
    } catch (error) {
      // The target's own limits: for what a batch makes of the tree.
      if (isMicError(error, "too-large") && count > 1) landingsMax = Math.ceil(count / 2);
      else if (isMicError(error, "not-found") && !isWhole) isWhole = true;
      else throw error;
    }
  }
  return after;
}

async function copyBatch(
  context: CopyContext,
  after: PositionRef,
  limits: { readonly count: number; readonly isWhole: boolean; readonly allowSecrets: boolean },
): Promise<PositionRef> {
  const { source, target, project, options } = context;
  await using content = new ContentCopy(context, limits.isWhole);
  const landings: Landing[] = [];
  let bytes = 0;
  while (landings.length < limits.count && content.packs.length < CALL_PACKS_MAX) {
    const position = (after.position + landings.length + 1) as Position;
    const landing = await source.getLanding(project, position, options);
    bytes += callBytes(landing);
    if (bytes > CALL_BYTES_MAX && landings.length > 0) break;
    await content.add(landing);
    landings.push(landing);
  }
  await content.finish();
  const { packs, frames } = content;
  const own = limits.allowSecrets ? { allowSecrets: true } : {};
  const head = await target.importLandings(project, { after, landings, packs, frames, ...own }, options);
  const { position, root } = landings.at(-1)!;
  // Beyond it when the call was repeated and somebody landed in between.
  if (head.position > position || (head.position === position && head.root === root)) {
    return { position, root };
  }
  throw new MicError("corrupt", `the other forge is at ${head.position} after landing ${position}`, {
    hint: "report this: it did not import what it was given",
  });
}

function callBytes({ operations, goal, decisions, conversation }: Landing): number {
  let bytes = operations.length * OPERATION_BYTES + goal.length;
  for (const text of decisions) bytes += text.length;
  for (const { text } of conversation) bytes += text.length;
  return bytes;
}
