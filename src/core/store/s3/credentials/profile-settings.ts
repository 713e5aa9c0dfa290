/** What the profile in use says beside its credentials. */
import type { Environment } from "../environment.ts";
import { type Profile, profileName, readSharedFiles, type SharedFiles } from "./shared-files.ts";

export function profileRegion(env: Environment): string | undefined {
  return settingOf(env, ({ region }) => region);
}

/** Of S3 alone (`services`), else of every service. */
export function profileEndpoint(env: Environment): string | undefined {
  return settingOf(env, ({ services, endpoint_url: ofAll }, files) => {
    const ofS3 = services ? files.services(services)?.["s3.endpoint_url"] : undefined;
    return ofS3 || ofAll;
  });
}

/** A file in PEM. */
export function profileCertificates(env: Environment): string | undefined {
  return settingOf(env, ({ ca_bundle: file }) => file);
}

function settingOf(
  env: Environment,
  choose: (profile: Profile, files: SharedFiles) => string | undefined,
): string | undefined {
  const files = readSharedFiles(env);
  const profile = files.profile(profileName(env));
  return (profile === undefined ? undefined : choose(profile, files)) || undefined;
}
