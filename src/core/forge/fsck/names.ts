/** Meta of a project, the names that lead to it, and their organizations. */
import { MicError } from "../../base/errors.ts";
import type { ProjectId } from "../../base/ids.ts";
import type { ProjectMeta } from "../../codec/meta.ts";
import { headKey, metaKey, NAMES_PREFIX, organizationKey } from "../../objects/keys.ts";
import type { ForgeContext } from "../context.ts";
import { readName } from "../projects/names.ts";
import { decodeOrganizationOf } from "../projects/organizations.ts";
import { decodeMetaOf } from "../projects/projects.ts";
import type { Findings } from "./findings.ts";

/** `undefined` when the meta cannot be read. Errors: `not-found` for a project that is absent or deleted. */
export async function checkNames(
  context: ForgeContext,
  project: ProjectId,
  findings: Findings,
): Promise<ProjectMeta | undefined> {
  const { store } = context;
  const { signal } = findings;
  const options = signal === undefined ? {} : { signal };
  const key = metaKey(project);
  const stored = await store.get(key, options);
  if (stored === undefined) {
    if ((await store.get(headKey(project), options)) === undefined) throw absent(project);
    findings.error("missing", "the project has no meta", { object: key });
    return undefined;
  }
  const meta = await findings.attempt({ object: key }, () => decodeMetaOf(project, stored.bytes));
  if (meta === undefined) return undefined;
  if (meta.deletedAtMs !== 0) throw absent(project);
  const names = [meta.name, ...meta.formerNames];
  for (const name of names) {
    await findings.attempt({ object: NAMES_PREFIX + name }, async () => {
      const record = await readName(context, name, signal);
      const where = { object: NAMES_PREFIX + name };
      const isCurrent = name === meta.name;
      if (record === undefined) findings.error("missing", `there is no record of the name ${name}`, where);
      else if (record.project !== project || record.state === "tombstone") {
        findings.error("mismatch", `the name ${name} does not lead to the project`, where);
      } else if ((record.state === "current") !== isCurrent) {
        findings.warning("unfinished", `a rename did not get to the record of ${name}`, where);
      }
    });
  }
  for (const org of new Set(names.map((name) => name.slice(0, name.indexOf("/"))))) {
    const object = organizationKey(org);
    await findings.attempt({ object }, async () => {
      const record = await store.get(object, options);
      // Projects made before there were such records have none, and need none.
      if (record === undefined) findings.warning("missing", `organization ${org} has no record`, { object });
      else decodeOrganizationOf(org, record.bytes);
    });
  }
  return meta;
}

function absent(project: ProjectId): MicError {
  return new MicError("not-found", `there is no project ${project}`);
}
