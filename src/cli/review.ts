/** What `land` looks at before anything leaves the workspace: secrets that were probably not meant to. */
import { MicError } from "../core/base/errors.ts";
import type { LandOptions } from "../core/workspace/results.ts";
import { findSecrets } from "../core/workspace/secrets.ts";
import type { Output } from "./output.ts";

/** Warns, or with `strict` refuses (`unsafe-path` with the paths). */
export function reviewSecrets(output: Output, strict: boolean): NonNullable<LandOptions["review"]> {
  return (changes, read) => {
    const findings = findSecrets(changes, read);
    if (findings.length === 0) return;
    if (strict) {
      throw new MicError("unsafe-path", "the changes contain secrets", {
        hint: "`mic untrack PATH` keeps a file out of the project; without --strict this is a warning",
        data: { paths: findings.map((finding) => finding.path), secrets: findings },
      });
    }
    for (const { path, reason } of findings) output.warn(`${path} ${reason}`);
    output.hint("`mic untrack PATH` keeps a file out; history keeps what was landed; --strict refuses it");
  };
}
