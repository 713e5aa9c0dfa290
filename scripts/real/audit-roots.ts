/** Reads a project's log from its bucket with nothing in between and builds the tree of every position anew. */
import { bytesToHex, compareBytes, hexToBytes, utf8 } from "../../src/core/base/bytes.ts";
import { hashBytes } from "../../src/core/base/hash.ts";
import { EMPTY_ROOT, type ObjectId, type Position } from "../../src/core/base/ids.ts";
import { parseTreePath, pathToKey, type TreePath } from "../../src/core/base/path.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { encodeTreeEntry, type TreeEntry } from "../../src/core/codec/tree-entry.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { buildTree } from "../../src/core/prolly/build.ts";
import type { NodeSource } from "../../src/core/prolly/types.ts";
import { openS3Store } from "../../src/core/store/s3/open.ts";
import type { ObjectServer } from "./object-servers.ts";
import type { StoryAttempt } from "./story-attempts.ts";

/**
 * Every position whose root is not that of its landings applied in order, whose landing is not what was asked for, or
 * whose time runs back.
 */
export async function auditRoots(
  server: ObjectServer,
  bucket: string,
  project: string,
  attempts: readonly StoryAttempt[],
): Promise<string[]> {
  const store = await openS3Store({
    bucket,
    prefix: "",
    region: "us-east-1",
    endpoint: server.endpoint,
    credentials: { get: async () => server.keys },
    transport: "undici",
    clock: systemClock,
    random: systemRandom,
  });
  const ports = { clock: systemClock, random: systemRandom };
  await using forge = new ForgeService({ store, address: store.description, ...ports, trustWriters: true });
  const { id, salt } = await forge.getProject(project);
  const head = await forge.getHead(id);
  const nodes: NodeSource = { load: () => Promise.reject(new Error("a tree that is built reads nothing")) };
  const context = { salt: hexToBytes(salt), nodes };
  const attemptOf = new Map(attempts.map((attempt) => [attempt.goal, attempt]));
  const problems: string[] = [];
  const files = new Map<TreePath, TreeEntry>();
  let parent: ObjectId = EMPTY_ROOT;
  let hlc = 0n;
  for (let position = 1; position <= head.position; position++) {
    const landing = await forge.getLanding(id, position as Position);
    if (landing.parentRoot !== parent) problems.push(`@${position} does not follow its parent`);
    if (landing.hlc <= hlc) problems.push(`time runs back at @${position}`);
    const [operation] = landing.operations;
    const attempt = attemptOf.get(landing.goal);
    const wanted = attempt === undefined ? undefined : wantedEntry(attempt);
    if (
      landing.operations.length !== 1 ||
      operation?.kind !== "put" ||
      operation.path !== wanted?.path ||
      operation.entry.id !== wanted.entry.id
    ) {
      problems.push(`@${position} does not hold what "${landing.goal}" landed`);
    }
    if (attempt?.landingId !== undefined && attempt.landingId !== landing.landingId) {
      problems.push(
        `@${position} has the id ${landing.landingId}, "${landing.goal}" had ${attempt.landingId}`,
      );
    }
    for (const each of landing.operations) {
      if (each.kind === "put") files.set(each.path, each.entry);
      else files.delete(each.path);
    }
    const entries = [...files].map(([path, entry]) => ({
      key: pathToKey(path),
      value: encodeTreeEntry(entry),
      hint: 0,
    }));
    entries.sort((a, b) => compareBytes(a.key, b.key));
    const { root } = await buildTree(entries, context, { position: 1, emit: () => undefined });
    if (root !== landing.root)
      problems.push(`the tree of @${position} is ${landing.root}, its landings make ${root}`);
    const told = attempt?.fate.kind === "landed" ? attempt.fate.root : undefined;
    if (told !== undefined && told !== root)
      problems.push(`@${position} was acknowledged with the tree ${told}`);
    parent = landing.root;
    hlc = landing.hlc;
  }
  if (head.root !== parent) problems.push("the head has another root than the newest landing");
  return problems;
}

function wantedEntry({ goal, path }: StoryAttempt): { path: TreePath; entry: TreeEntry } {
  const content = utf8(`${goal}\n`);
  const id = bytesToHex(hashBytes(content)) as ObjectId;
  return { path: parseTreePath(path), entry: { kind: "file", size: content.length, id } };
}
