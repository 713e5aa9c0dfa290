/**
 * Where credentials come from: the first source that has any, in the order of AWS's own tools. Explicit ones,
 * environment, web identity, profile (`~/.aws`), container, instance metadata. The source that was found first is the
 * one that renews them.
 */
import type { Clock } from "../../../base/clock.ts";
import { MicError } from "../../../base/errors.ts";
import type { Random } from "../../../base/random.ts";
import type { CredentialSource, Credentials } from "../credentials-types.ts";
import type { Environment } from "../environment.ts";
import { containerCredentials } from "./container.ts";
import { environmentCredentials, explicitCredentials } from "./fixed.ts";
import { instanceMetadataCredentials } from "./instance-metadata.ts";
import { profileCredentials } from "./profile.ts";
import { RenewingCredentials } from "./renewing.ts";
import { type CredentialProvider, isCredentials } from "./source.ts";
import { Sts } from "./sts.ts";
import { webIdentityCredentials } from "./web-identity.ts";

export interface OpenCredentials {
  readonly env: Environment;
  readonly clock: Clock;
  readonly random: Random;
  /** Of the token service. */
  readonly region: string;
  /** Before every other source. */
  readonly explicit?: Credentials;
  /** For tests: where the relative address of a container's endpoint leads. */
  readonly ecsOrigin?: string;
  /** How long to wait for an instance metadata service that may not be there. Default 1 s. */
  readonly metadataTimeoutMs?: number;
}

/** Nothing is asked before the first `get`. Errors of `get`: `unauthenticated`, `unreachable`. */
export function openCredentials(options: OpenCredentials): CredentialSource {
  return new RenewingCredentials(firstOf(createProviders(options)), options.clock);
}

export function createProviders(options: OpenCredentials): readonly CredentialProvider[] {
  const { env, clock, random, region, explicit, ecsOrigin, metadataTimeoutMs } = options;
  const sts = new Sts({ env, clock, random, region });
  const environment = environmentCredentials(env);
  const container = containerCredentials(env, clock, ecsOrigin === undefined ? {} : { ecsOrigin });
  const instance = instanceMetadataCredentials(
    env,
    clock,
    metadataTimeoutMs === undefined ? {} : { firstTimeoutMs: metadataTimeoutMs },
  );
  const providers = { Environment: environment, EcsContainer: container, Ec2InstanceMetadata: instance };
  return [
    explicitCredentials(explicit),
    environment,
    webIdentityCredentials(env, sts),
    profileCredentials({ env, clock, sts, providers }),
    container,
    instance,
  ];
}

function firstOf(providers: readonly CredentialProvider[]): () => Promise<Credentials> {
  let chosen: CredentialProvider | undefined;
  return async () => {
    const tried: string[] = [];
    for (const provider of chosen === undefined ? providers : [chosen]) {
      const loaded = await provider.load();
      if (isCredentials(loaded)) {
        chosen = provider;
        return loaded;
      }
      tried.push(`${provider.name}: ${loaded.missing}`);
    }
    // Files and variables may have been mended meanwhile.
    chosen = undefined;
    throw new MicError("unauthenticated", `Missing S3 credentials (${tried.join("; ")})`, {
      hint: "export AWS_ACCESS_KEY_ID=your-access-key AWS_SECRET_ACCESS_KEY=your-secret-key, or AWS_PROFILE, or run where a role is given",
      data: { tried },
    });
  };
}
