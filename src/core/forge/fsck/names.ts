/** Meta of a project, the names that lead to it, and their organizations. */
import { MicError } from "../../base/errors.ts";
import type { ProjectId } from "../../base/ids.ts";
import type { ProjectMeta } from "../../codec/meta.ts";
import { metaKey, NAMES_PREFIX, organizationKey, projectPrefix } from "../../objects/keys.ts";
import type { ForgeContext } from "../context.ts";
import { readName } from "../projects/names.ts";
import { decodeOrganizationOf } from "../projects/organizations.ts";
import { decodeMetaOf } from "../projects/projects.ts";
import type { Damage } from "./damage.ts";
import type { Findings } from "./findings.ts";

/** `undefined` when the meta cannot be read. Errors: `not-found` for a project that is absent or deleted. */
export async function checkNames(
  context: ForgeContext,
  project: ProjectId,
  findings: Findings,
  damage: Damage,
): Promise<ProjectMeta | undefined> {
  const { store } = context;
  const { signal } = findings;
  const options = signal === undefined ? {} : { signal };
  const key = metaKey(project);
  const stored = await store.get(key, options);
  if (stored === undefined) {
    const { objects } = await store.list(projectPrefix(project), { limit: 1, ...options });
    if (objects.length === 0) throw absent(project);
    findings.error("missing", "the project has no meta", { object: key });
    return undefined;
  }
  const meta = await findings.attempt({ object: key }, () => decodeMetaOf(project, stored.bytes));
  if (meta === undefined) {
    damage.kept.push(key);
    return undefined;
  }
  if (meta.deletedAtMs !== 0) throw absent(project);
  const names = [meta.name, ...meta.formerNames];
  for (const name of names) {
    const where = { object: NAMES_PREFIX + name };
    const isCurrent = name === meta.name;
    const isThere = await findings.attempt(where, async () => {
      const record = await readName(context, name, signal);
      if (record === undefined) {
        findings.error("missing", `there is no record of the name ${name}`, where);
        return undefined;
      }
      if (record.project !== project || record.state === "tombstone") {
        findings.error("mismatch", `the name ${name} does not lead to the project`, where);
      } else if ((record.state === "current") !== isCurrent) {
        findings.warning("unfinished", `a rename did not get to the record of ${name}`, where);
      }
      return true;
    });
    if (isThere === undefined) damage.names.push({ name, state: isCurrent ? "current" : "redirect" });
  }
  for (const org of new Set(names.map((name) => name.slice(0, name.indexOf("/"))))) {
    const object = organizationKey(org);
    const isSound = await findings.attempt({ object }, async () => {
      const record = await store.get(object, options);
      // Projects made before there were such records have none, and need none.
      if (record === undefined) findings.warning("missing", `organization ${org} has no record`, { object });
      else decodeOrganizationOf(org, record.bytes);
      return true;
    });
    if (isSound === undefined) damage.kept.push(object);
  }
  return meta;
}

function absent(project: ProjectId): MicError {
  return new MicError("not-found", `there is no project ${project}`, {
    hint: "check the name, or list projects with `mic project list`",
  });
}
