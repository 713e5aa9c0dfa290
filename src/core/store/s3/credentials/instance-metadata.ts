/**
 * The role of an EC2 instance, from its metadata service, version 2 only: a token first, then the role's name, then its
 * credentials. On every other machine nobody answers at that address, so the first question waits a second only.
 */
import type { Clock } from "../../../base/clock.ts";
import { isMicError, MicError } from "../../../base/errors.ts";
import type { Environment } from "../environment.ts";
import { askService, parseObject, type ServiceAnswer } from "./request.ts";
import { brokenSource, type CredentialProvider, checkDocument } from "./source.ts";

const ORIGIN_IPV4 = "http://169.254.169.254";
const ORIGIN_IPV6 = "http://[fd00:ec2::254]";
const FIRST_TIMEOUT_MS = 1_000;
const TIMEOUT_MS = 2_000;
const TOKEN_SECONDS = 300;
const ROLES = "/latest/meta-data/iam/security-credentials/";
const FROM = "the instance metadata service";

export function instanceMetadataCredentials(
  env: Environment,
  clock: Clock,
  options: { readonly firstTimeoutMs?: number } = {},
): CredentialProvider {
  let wasThere = false;
  return {
    name: "instance metadata",
    async load() {
      if (env["AWS_EC2_METADATA_DISABLED"]?.toLowerCase() === "true") {
        return { missing: "AWS_EC2_METADATA_DISABLED is true" };
      }
      const origin = originOf(env);
      let asked: ServiceAnswer;
      try {
        asked = await askService(
          {
            url: `${origin}/latest/api/token`,
            method: "PUT",
            headers: { "x-aws-ec2-metadata-token-ttl-seconds": String(TOKEN_SECONDS) },
            timeoutMs: wasThere ? TIMEOUT_MS : (options.firstTimeoutMs ?? FIRST_TIMEOUT_MS),
          },
          clock,
        );
      } catch (error) {
        // What answered before and does not now is out of order, and not absent.
        if (wasThere || !isMicError(error, "unreachable")) throw error;
        return { missing: "nobody answers at the instance metadata address" };
      }
      // Proxies and other clouds answer something; who has no tokens is not this service.
      if (asked.status !== 200) return { missing: `${FROM} gives no token (${asked.status})` };
      const headers = { "x-aws-ec2-metadata-token": checkToken(asked.text) };
      const ask = (path: string): Promise<ServiceAnswer> =>
        askService({ url: origin + path, headers, timeoutMs: TIMEOUT_MS }, clock);
      const roles = await ask(ROLES);
      if (roles.status === 404) return { missing: "the instance has no role" };
      const role = requireOk(roles).split("\n")[0]!.trim();
      if (role === "") return { missing: "the instance has no role" };
      if (!/^[\w+=,.@-]+$/.test(role)) throw brokenSource(`${FROM} names no role`, "check who answers there");
      const document = parseObject(requireOk(await ask(ROLES + role)));
      if (document === undefined || document["Code"] !== "Success") {
        throw brokenSource(
          `${FROM} gives no credentials for the role ${role}: ${String(document?.["Code"] ?? "no JSON")}`,
          "check the instance profile and its role",
        );
      }
      wasThere = true;
      return checkDocument(
        {
          accessKeyId: document["AccessKeyId"],
          secretAccessKey: document["SecretAccessKey"],
          sessionToken: document["Token"],
          expiration: document["Expiration"],
        },
        FROM,
      );
    },
  };
}

function originOf(env: Environment): string {
  const given = env["AWS_EC2_METADATA_SERVICE_ENDPOINT"];
  if (!given) {
    return env["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"]?.toLowerCase() === "ipv6"
      ? ORIGIN_IPV6
      : ORIGIN_IPV4;
  }
  if (/^https?:\/\//i.test(given) && URL.canParse(given)) return new URL(given).origin;
  throw brokenSource("AWS_EC2_METADATA_SERVICE_ENDPOINT is not an http(s):// address", "unset it");
}

function checkToken(text: string): string {
  const token = text.trim();
  if (/^[\x21-\x7e]{1,1024}$/.test(token)) return token;
  throw brokenSource(`${FROM} gives a token that cannot be one`, "check who answers there");
}

function requireOk({ status, text }: ServiceAnswer): string {
  if (status === 200) return text;
  throw new MicError("unreachable", `${FROM} answers ${status}`, {
    hint: "try again, or set AWS_ACCESS_KEY_ID",
  });
}
