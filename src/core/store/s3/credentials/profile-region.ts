/** The region that the profile in use names. */
import type { Environment } from "../environment.ts";
import { profileName, readSharedFiles } from "./shared-files.ts";

export function profileRegion(env: Environment): string | undefined {
  const region = readSharedFiles(env).profile(profileName(env))?.["region"];
  return region === "" ? undefined : region;
}
