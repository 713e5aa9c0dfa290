/**
 * Which project a name means. A name record points to the project id, whether the name is current or a former
 * one, so that every name resolves in one step and a rename that stops half way leaves nothing unreachable.
 */
import { MicError } from "../../base/errors.ts";
import type { ProjectId } from "../../base/ids.ts";
import { parseProjectName } from "../../base/project-name.ts";
import { decodeName, encodeName, type NameRecord, type NameState } from "../../codec/name.ts";
import { nameKey } from "../../objects/keys.ts";
import { type SwapContext, swapLoop } from "../swap-loop.ts";

/** `undefined` when nobody ever took the name. `usage` for an invalid one. */
export async function readName(
  context: SwapContext,
  name: string,
  signal?: AbortSignal,
): Promise<NameRecord | undefined> {
  const key = keyOf(name);
  const stored = await context.store.get(key, signal === undefined ? {} : { signal });
  return stored === undefined ? undefined : decodeFor(name, stored.bytes);
}

/**
 * Makes `name` mean `project`. A former name of the same project is taken back. Errors: `already-exists` when
 * it means or meant another project, or was deleted.
 */
export async function claimName(
  context: SwapContext,
  name: string,
  project: ProjectId,
  signal?: AbortSignal,
): Promise<void> {
  await changeName(context, name, signal, (current) => {
    if (current === undefined) return { name, project, state: "current" };
    if (current.project !== project || current.state === "tombstone") throw nameTaken(name);
    return current.state === "current" ? current : { ...current, state: "current" };
  });
}

/** Marks a name of `project` as a former one or as deleted; a tombstone stays one. */
export async function retireName(
  context: SwapContext,
  name: string,
  project: ProjectId,
  state: Exclude<NameState, "current">,
  signal?: AbortSignal,
): Promise<void> {
  await changeName(context, name, signal, (current) => {
    if (current === undefined) return { name, project, state };
    const settled = current.state === state || current.state === "tombstone";
    return settled || current.project !== project ? current : { ...current, state };
  });
}

/** It says no more than that: who asks may not see the project that has or had the name. */
export function nameTaken(name: string): MicError {
  return new MicError("already-exists", `the name ${name} is taken`, {
    hint: "choose another name; former ones, and those of deleted projects, stay taken",
    data: { project: name },
  });
}

function keyOf(name: string): string {
  const { org, project } = parseProjectName(name);
  return nameKey(org, project);
}

async function changeName(
  context: SwapContext,
  name: string,
  signal: AbortSignal | undefined,
  change: (current: NameRecord | undefined) => NameRecord,
): Promise<void> {
  await swapLoop(context, {
    key: keyOf(name),
    what: `the name ${name}`,
    decode: (bytes) => decodeFor(name, bytes),
    encode: encodeName,
    change,
    signal,
  });
}

/** Decodes a record and checks that it was written for this name. */
export function decodeFor(name: string, bytes: Uint8Array): NameRecord {
  const record = decodeName(bytes);
  if (record.name !== name) {
    throw new MicError("corrupt", `the record of the name ${name} is that of ${record.name}`);
  }
  return record;
}
