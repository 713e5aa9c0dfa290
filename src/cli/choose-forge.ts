/** The forge that a command about projects and organizations asks. */
import { isMicError } from "../core/base/errors.ts";
import type { Forge, ProjectInfo } from "../core/forge/forge.ts";
import { resolveProject } from "./address.ts";
import { usageError } from "./errors.ts";
import type { Invocation } from "./invocation.ts";
import { resolveTarget } from "./target-address.ts";

/**
 * `--server`, MIC_SERVER, the configured default, or the forge of the workspace around. `create`: a missing or empty
 * directory becomes a forge. Errors: `usage` when there is none of them.
 */
export async function chooseForge(
  invocation: Invocation,
  { create }: { readonly create: boolean },
): Promise<Forge> {
  const { addresses } = invocation;
  const { server } = addresses;
  if (server === undefined) return await invocation.openForge(await workspaceForge(invocation));
  const { forge, project, isNew } = await resolveTarget(server, addresses, { namesForge: true });
  if (project !== undefined) throw usageError(`${server} names a project`, "name its server or forge");
  if (isNew && !create) {
    throw usageError(`there is no forge in ${forge}`, "`mic project create` makes one there");
  }
  // Also where one is: its making may have been interrupted.
  return await invocation.openForge(forge, create);
}

async function workspaceForge(invocation: Invocation): Promise<string> {
  try {
    return (await invocation.openWorkspace()).forgeAddress;
  } catch (error) {
    if (!isMicError(error, "not-a-workspace")) throw error;
    throw usageError(
      "which forge? no server is known, and this is no workspace",
      "give --server ADDRESS, set MIC_SERVER, or `mic config set server.default ADDRESS`",
    );
  }
}

/** The project at `address`, else the workspace's. */
export async function chooseProject(
  invocation: Invocation,
  address: string | undefined,
): Promise<{ readonly forge: Forge; readonly project: ProjectInfo }> {
  const { signal } = invocation;
  if (address === undefined) {
    const workspace = await invocation.openWorkspace();
    const forge = await workspace.forge();
    return { forge, project: await forge.getProject(workspace.settings.project, { signal }) };
  }
  const isPlain = /^[a-z0-9][^/]*\/[^/]+$/.test(address);
  if (isPlain && invocation.addresses.server === undefined) {
    const forge = await chooseForge(invocation, { create: false });
    return { forge, project: await forge.getProject(address, { signal }) };
  }
  const target = await resolveProject(address, invocation.addresses);
  const forge = await invocation.openForge(target.forge);
  return { forge, project: await forge.getProject(target.project, { signal }) };
}
