/** Requests that no project could take, as changes of one that puts `a` and `b`. */
import type { LandingId, PackId, Position } from "../../src/core/base/ids.ts";
import { TEXT_BYTES_MAX } from "../../src/core/base/limits.ts";
import type { TreePath } from "../../src/core/base/path.ts";
import type { LandRequest, Operation } from "../../src/core/forge/forge.ts";
import { EMPTY_BASE, operationsOf } from "./project-fixture.ts";

function put(path: string, text: string): Operation {
  return operationsOf({ [path]: text })[0]!;
}

const [a, b] = [put("a", "1"), put("b", "2")];
const entry = a.kind === "put" ? a.entry : undefined;

/** With the code of the refusal. */
export const REFUSED_LANDINGS: readonly (readonly [Partial<LandRequest>, string])[] = [
  [{ goal: "  \n" }, "usage"],
  [{ goal: "a\0b" }, "usage"],
  [{ goal: "x".repeat(TEXT_BYTES_MAX + 1) }, "too-large"],
  [{ author: "" }, "usage"],
  [{ decisions: ["\ud800"] }, "usage"],
  [
    { conversation: Array.from({ length: 5 }, () => ({ role: "a", text: "x".repeat(1 << 20) })) },
    "too-large",
  ],
  [{ landingId: "x" as LandingId }, "usage"],
  [{ base: { position: -1 as Position, root: EMPTY_BASE.root } }, "out-of-range"],
  [{ operations: [b, a] }, "usage"],
  [{ operations: [a, a] }, "usage"],
  [{ operations: [put("a/../b", "1")] }, "unsafe-path"],
  [{ operations: [put(".git/config", "1")] }, "unsafe-path"],
  [{ operations: [put("a", "1"), put("a/b", "2")] }, "usage"],
  [{ operations: [put("a", "1"), { kind: "delete", path: "a/a" as TreePath }, put("a/b", "2")] }, "usage"],
  [{ operations: [{ ...a, entry: { ...entry, size: -1 } } as Operation] }, "usage"],
  [{ operations: [{ ...a, entry: { ...entry, size: 2 ** 53 } } as Operation] }, "usage"],
  [{ operations: [{ ...a, entry: { ...entry, id: "zz" } } as Operation] }, "usage"],
  [{ operations: [{ ...a, entry: { ...entry, kind: "device" } } as unknown as Operation] }, "usage"],
  [{ operations: [{ ...a, entry: { ...entry, kind: "symlink", size: 5000 } } as Operation] }, "usage"],
  [{ packs: ["nope" as PackId] }, "usage"],
  [{ packs: ["ab".repeat(32) as PackId] }, "not-found"],
  [{ frames: [] }, "not-found"],
];
