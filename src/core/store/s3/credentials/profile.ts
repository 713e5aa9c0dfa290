/**
 * The profile that AWS_PROFILE names: keys, a role taken on with another profile's keys, a web identity, or a program
 * that prints credentials.
 */
import type { Clock } from "../../../base/clock.ts";
import type { Credentials } from "../credentials-types.ts";
import type { Environment } from "../environment.ts";
import { runCredentialProcess } from "./process.ts";
import { type Profile, profileName, readSharedFiles, type SharedFiles } from "./shared-files.ts";
import { brokenSource, type CredentialProvider, isCredentials, type NoCredentials } from "./source.ts";
import { type Sts, sessionName } from "./sts.ts";
import { assumeWithToken } from "./web-identity.ts";

export interface ProfileWorld {
  readonly env: Environment;
  readonly clock: Clock;
  readonly sts: Sts;
  /** What `credential_source` may name. */
  readonly providers: Readonly<Record<string, CredentialProvider>>;
}

export function profileCredentials(world: ProfileWorld): CredentialProvider {
  const name = profileName(world.env);
  return {
    name: `profile ${JSON.stringify(name)}`,
    async load() {
      const files = readSharedFiles(world.env);
      const profile = files.profile(name);
      const isNamed = Boolean(world.env["AWS_PROFILE"] || world.env["AWS_DEFAULT_PROFILE"]);
      if (profile === undefined) {
        if (!isNamed) return { missing: `no profile "default" in ${files.description}` };
        throw brokenSource(
          `the profile ${JSON.stringify(name)} is in neither ${files.description.replace(" and ", " nor ")}`,
          "export AWS_PROFILE=the-name-of-one, or unset it",
        );
      }
      return await resolve(name, profile, files, world, []);
    },
  };
}

/** `seen`: profiles that lead here by their `source_profile`. */
async function resolve(
  name: string,
  profile: Profile,
  files: SharedFiles,
  world: ProfileWorld,
  seen: readonly string[],
): Promise<Credentials | NoCredentials> {
  const shown = `profile ${JSON.stringify(name)}`;
  const {
    role_arn: roleArn,
    web_identity_token_file: tokenFile,
    role_session_name: session,
    duration_seconds: durationSeconds,
    credential_process: commandLine,
  } = profile;
  const keys = keysOf(profile, shown);
  // A profile may name itself: the keys are its own.
  if (keys !== undefined && seen.length > 0 && (roleArn === undefined || seen.includes(name))) return keys;
  if (seen.includes(name)) {
    throw brokenSource(`${shown} leads back to itself by source_profile`, "let the last one hold keys");
  }
  if (roleArn && tokenFile) {
    return await assumeWithToken({ tokenFile, roleArn, session, durationSeconds }, world.sts);
  }
  if (roleArn) {
    if (profile["mfa_serial"]) {
      throw brokenSource(
        `${shown} needs a code of a device (mfa_serial), which nobody is there to type`,
        `use \`credential_process = aws configure export-credentials --profile ${name} --format process\``,
      );
    }
    const source = await sourceOf(profile, shown, files, world, [...seen, name]);
    const { external_id: externalId } = profile;
    return await world.sts.call(
      "AssumeRole",
      {
        RoleArn: roleArn,
        RoleSessionName: session || sessionName(world.sts),
        ...(durationSeconds ? { DurationSeconds: durationSeconds } : {}),
        ...(externalId ? { ExternalId: externalId } : {}),
      },
      source,
    );
  }
  if (keys !== undefined) return keys;
  if (commandLine) {
    const { env, clock } = world;
    return await runCredentialProcess(commandLine, { env, clock, name: shown });
  }
  if (Object.keys(profile).some((key) => key.startsWith("sso_"))) {
    throw brokenSource(
      `${shown} signs in by SSO, which this program does not speak`,
      `add \`credential_process = aws configure export-credentials --profile ${name} --format process\` to another profile, and name that in AWS_PROFILE`,
    );
  }
  return { missing: `${shown} holds no credentials` };
}

function keysOf(profile: Profile, shown: string): Credentials | undefined {
  const {
    aws_access_key_id: accessKeyId,
    aws_secret_access_key: secretAccessKey,
    aws_session_token: sessionToken,
  } = profile;
  if (!accessKeyId && !secretAccessKey) return undefined;
  if (!accessKeyId || !secretAccessKey) {
    throw brokenSource(
      `${shown} has only half a key`,
      `aws configure set ${accessKeyId ? "aws_secret_access_key" : "aws_access_key_id"} VALUE`,
    );
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}

/** Whose keys ask for the role. */
async function sourceOf(
  profile: Profile,
  shown: string,
  files: SharedFiles,
  world: ProfileWorld,
  seen: readonly string[],
): Promise<Credentials> {
  const { source_profile: sourceName, credential_source: sourceKind } = profile;
  if (sourceName) {
    const source = files.profile(sourceName);
    if (source === undefined) {
      throw brokenSource(`${shown} names the source_profile ${sourceName}, which is not there`, "add it");
    }
    const loaded = await resolve(sourceName, source, files, world, seen);
    if (isCredentials(loaded)) return loaded;
    throw brokenSource(`the source_profile of ${shown} has no credentials`, "give it keys");
  }
  if (!sourceKind) {
    throw brokenSource(
      `${shown} has a role_arn and says nothing about whose keys ask for it`,
      "add source_profile, credential_source or web_identity_token_file",
    );
  }
  const provider = world.providers[sourceKind];
  if (provider === undefined) {
    const known = Object.keys(world.providers).join(", ");
    throw brokenSource(
      `${shown} names the credential_source ${sourceKind}, which is unknown`,
      `one of: ${known}`,
    );
  }
  const loaded = await provider.load();
  if (isCredentials(loaded)) return loaded;
  throw brokenSource(`the credential_source of ${shown} has none: ${loaded.missing}`, "name another one");
}
