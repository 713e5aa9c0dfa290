/** A token that something else vouches with (EKS service accounts, CI jobs), exchanged for a role's credentials. */
import { readFileSync } from "node:fs";
import type { Credentials } from "../credentials-types.ts";
import type { Environment } from "../environment.ts";
import { brokenSource, type CredentialProvider } from "./source.ts";
import { type Sts, sessionName } from "./sts.ts";

export function webIdentityCredentials(env: Environment, sts: Sts): CredentialProvider {
  return {
    name: "web identity",
    async load() {
      const tokenFile = env["AWS_WEB_IDENTITY_TOKEN_FILE"];
      if (!tokenFile) return { missing: "AWS_WEB_IDENTITY_TOKEN_FILE is not set" };
      const roleArn = env["AWS_ROLE_ARN"];
      if (!roleArn) {
        throw brokenSource(
          "AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN",
          "export AWS_ROLE_ARN=arn:aws:iam::ACCOUNT:role/NAME",
        );
      }
      return await assumeWithToken({ tokenFile, roleArn, session: env["AWS_ROLE_SESSION_NAME"] }, sts);
    },
  };
}

/** The file is read each time: its token is replaced before it expires. */
export async function assumeWithToken(
  request: {
    readonly tokenFile: string;
    readonly roleArn: string;
    readonly session: string | undefined;
    readonly durationSeconds?: string | undefined;
  },
  sts: Sts,
): Promise<Credentials> {
  const { tokenFile, roleArn, session, durationSeconds } = request;
  let token: string;
  try {
    token = readFileSync(tokenFile, "utf8").trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw brokenSource(
      `the web identity token ${tokenFile} cannot be read (${code})`,
      "mount it, or unset AWS_WEB_IDENTITY_TOKEN_FILE",
      error,
    );
  }
  if (token === "") throw brokenSource(`the web identity token ${tokenFile} is empty`, "write it anew");
  return await sts.call("AssumeRoleWithWebIdentity", {
    RoleArn: roleArn,
    RoleSessionName: session || sessionName(sts),
    WebIdentityToken: token,
    ...(durationSeconds ? { DurationSeconds: durationSeconds } : {}),
  });
}
