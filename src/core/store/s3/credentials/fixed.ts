/** Credentials that are written out: for this program, or in the environment. */
import type { Credentials } from "../credentials-types.ts";
import type { Environment } from "../environment.ts";
import { brokenSource, type CredentialProvider } from "./source.ts";

/** `undefined`: none were given. */
export function explicitCredentials(explicit: Credentials | undefined): CredentialProvider {
  return {
    name: "S3_ACCESS_KEY_ID",
    load: async () => explicit ?? { missing: "S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY are not set" },
  };
}

/** Half of a key is an error: the other half was forgotten, or goes under another name. */
export function environmentCredentials(env: Environment): CredentialProvider {
  return {
    name: "environment",
    async load() {
      const accessKeyId = env["AWS_ACCESS_KEY_ID"] || env["AWS_ACCESS_KEY"];
      const secretAccessKey = env["AWS_SECRET_ACCESS_KEY"] || env["AWS_SECRET_KEY"];
      const sessionToken = env["AWS_SESSION_TOKEN"] || env["AWS_SECURITY_TOKEN"];
      if (!accessKeyId && !secretAccessKey) {
        return { missing: "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set" };
      }
      if (!accessKeyId) {
        throw brokenSource(
          "AWS_SECRET_ACCESS_KEY is set without AWS_ACCESS_KEY_ID",
          "export AWS_ACCESS_KEY_ID=your-access-key",
        );
      }
      if (!secretAccessKey) {
        throw brokenSource(
          "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY",
          "export AWS_SECRET_ACCESS_KEY=your-secret-key",
        );
      }
      return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
    },
  };
}
