/**
 * Which organizations have a project that a caller sees, asked for many at a time: the projects of the whole range are
 * listed in pages, so that a hundred organizations of a few projects cost one request and not a hundred.
 */
import type { Page, PageRequest, ProjectInfo } from "../../core/forge/forge.ts";

/** Projects of one page, for each organization that is left to be decided. */
const PROJECTS_EACH = 4;
const PAGE_LEAST = 32;
const PAGE_MOST = 256;
/** Of an organization of which no page shows a project: it is taken for one that the caller does not see. */
const PAGES_MAX = 20;

/** `names`: in the order in which organizations are listed, that of `name/`. `list` gives projects in the same. */
export async function seenOrganizations(
  names: readonly string[],
  list: (request: PageRequest) => Promise<Page<ProjectInfo>>,
  sees: (project: ProjectInfo) => boolean,
): Promise<ReadonlySet<string>> {
  const wanted = new Set(names);
  const seen = new Set<string>();
  let next = names[0];
  let [after, pages, last] = [`${next}/`, 0, ""];
  while (next !== undefined) {
    const left = names.length - names.indexOf(next);
    const limit = Math.min(PAGE_MOST, Math.max(PAGE_LEAST, PROJECTS_EACH * left));
    const page = await list({ after, limit });
    for (const info of page.items) {
      const org = organizationOf(info.name);
      if (wanted.has(org) && !seen.has(org) && sees(info)) seen.add(org);
    }
    if (page.next === undefined) return seen;
    const org = organizationOf(page.next);
    pages = org === last ? pages + 1 : 1;
    last = org;
    if (wanted.has(org) && !seen.has(org) && pages < PAGES_MAX) {
      // The rest of this one is on the next page.
      next = org;
      after = page.next;
    } else {
      next = names.find((name) => `${name}/` > `${org}/`);
      after = `${next}/`;
    }
  }
  return seen;
}

function organizationOf(name: string): string {
  return name.slice(0, name.indexOf("/"));
}
