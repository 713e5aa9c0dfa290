/** A long real history: landings of one file each into an embedded forge, many at a time so that they share swaps. */
import type { ProjectId } from "../../../src/core/base/ids.ts";
import { mintProjectId } from "../../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../../src/core/base/system.ts";
import type { Forge, Operation } from "../../../src/core/forge/forge.ts";
import { generator } from "../harness.ts";
import { blobOf, filePath, landOperations } from "./tree.ts";

/** As many as one swap carries. */
const TOGETHER = 128;

export interface LongHistory {
  readonly project: ProjectId;
  readonly files: number;
}

/**
 * `files` files in one landing, then `landings` landings that change one of them each. `between` is called after
 * every so many landings.
 */
export async function landHistory(
  forge: Forge,
  request: {
    readonly files: number;
    readonly landings: number;
    readonly every: number;
    readonly between: (project: ProjectId, done: number) => Promise<void>;
  },
): Promise<LongHistory> {
  const { files, landings, every, between } = request;
  const { id: project } = await forge.createProject({ id: mintProjectId(systemRandom), name: "bench/long" });
  const first = blobOf("export const value = 0;\n");
  const entry = { kind: "file", size: first.size, id: first.id } as const;
  const operations = Array.from(
    { length: files },
    (_, i): Operation => ({ kind: "put", path: filePath(i), entry, hint: 0 }),
  );
  await landOperations(forge, project, await forge.getHead(project), operations, [first.frame], "first");
  const random = generator(files);
  let next = every;
  for (let done = 1; done < landings; ) {
    const base = await forge.getHead(project);
    const paths = new Set<number>();
    while (paths.size < Math.min(TOGETHER, landings - done)) paths.add(Math.floor(random() * files));
    const together = [...paths].map((number, i) => {
      const { id, size, frame } = blobOf(`export const value = ${done + i};\n`);
      const put: Operation = {
        kind: "put",
        path: filePath(number),
        entry: { kind: "file", size, id },
        hint: 0,
      };
      return landOperations(forge, project, base, [put], [frame], `change ${done + i}`);
    });
    await Promise.all(together);
    done += together.length;
    if (done < next) continue;
    next += every;
    await between(project, done);
  }
  return { project, files };
}

export const systemPorts = { clock: systemClock, random: systemRandom } as const;
