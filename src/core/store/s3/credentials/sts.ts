/** The security token service: roles for keys (`AssumeRole`) or for tokens (`AssumeRoleWithWebIdentity`). */
import { createHmac, hash } from "node:crypto";
import { bytesToHex } from "../../../base/bytes.ts";
import type { Clock } from "../../../base/clock.ts";
import { isMicError } from "../../../base/errors.ts";
import type { Random } from "../../../base/random.ts";
import type { Credentials } from "../credentials-types.ts";
import type { Environment } from "../environment.ts";
import { amzDate, deriveSigningKey } from "../sign.ts";
import { askService, type ServiceAnswer } from "./request.ts";
import { brokenSource, checkDocument } from "./source.ts";

export interface StsWorld {
  readonly env: Environment;
  readonly clock: Clock;
  readonly random: Random;
  readonly region: string;
}

export type StsAction = "AssumeRole" | "AssumeRoleWithWebIdentity";

const API_VERSION = "2011-06-15";
const TIMEOUT_MS = 10_000;
const ATTEMPTS = 3;
const PAUSE_MS = 300;
const CONTENT_TYPE = "application/x-www-form-urlencoded; charset=utf-8";
const AWS_REGION = /^[a-z]{2}(?:-[a-z]+)+-\d+$/;

export class Sts {
  readonly world: StsWorld;

  constructor(world: StsWorld) {
    this.world = world;
  }

  /** `source`: whose keys sign the request. Errors: `unauthenticated` with what the service said, `unreachable`. */
  async call(
    action: StsAction,
    parameters: Readonly<Record<string, string>>,
    source?: Credentials,
  ): Promise<Credentials> {
    const { env } = this.world;
    const region = this.#region();
    const url = endpointOf(env, region);
    const body = new URLSearchParams({ Action: action, Version: API_VERSION, ...parameters }).toString();
    const { status, text } = await this.#ask(url, body, source, region);
    if (status !== 200) {
      const code = elementText(text, "Code") ?? String(status);
      const message = elementText(text, "Message") ?? "";
      throw brokenSource(
        `${parameters["RoleArn"]} is not given: ${code} ${message}`.trim(),
        "check the role's name, its trust policy, and who asks for it",
      );
    }
    return checkDocument(
      {
        accessKeyId: elementText(text, "AccessKeyId"),
        secretAccessKey: elementText(text, "SecretAccessKey"),
        sessionToken: elementText(text, "SessionToken"),
        expiration: elementText(text, "Expiration"),
      },
      "the token service",
    );
  }

  /** The service's names and signatures know AWS's regions only, a bucket's region may be another's. */
  #region(): string {
    const { env, region } = this.world;
    const given = env["AWS_REGION"] || env["AWS_DEFAULT_REGION"] || region;
    return AWS_REGION.test(given) ? given : "us-east-1";
  }

  async #ask(
    url: string,
    body: string,
    source: Credentials | undefined,
    region: string,
  ): Promise<ServiceAnswer> {
    const { clock } = this.world;
    for (let attempt = 1; ; attempt++) {
      const isLast = attempt === ATTEMPTS;
      const signed =
        source === undefined ? {} : signForm({ url, body, region, nowMs: clock.nowMs(), source });
      const headers = { "content-type": CONTENT_TYPE, ...signed };
      try {
        const answer = await askService({ url, method: "POST", headers, body, timeoutMs: TIMEOUT_MS }, clock);
        const isTransient =
          answer.status >= 500 || elementText(answer.text, "Code") === "IDPCommunicationError";
        if (isLast || !isTransient) return answer;
      } catch (error) {
        if (isLast || !isMicError(error, "unreachable")) throw error;
      }
      await clock.sleep(PAUSE_MS * attempt);
    }
  }
}

/** A name for the log of who took a role on. */
export function sessionName({ world }: Sts): string {
  return `mic-${bytesToHex(world.random.bytes(8))}`;
}

function endpointOf(env: Environment, region: string): string {
  const given = env["AWS_ENDPOINT_URL_STS"] || env["AWS_ENDPOINT_URL"];
  if (given) {
    if (/^https?:\/\//i.test(given) && URL.canParse(given)) return new URL(given).href;
    throw brokenSource("AWS_ENDPOINT_URL_STS is not an http(s):// address", "unset it");
  }
  return `https://sts.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}/`;
}

/** Signature version 4 of a form that is posted to `url`. https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html */
function signForm(request: {
  readonly url: string;
  readonly body: string;
  readonly region: string;
  readonly nowMs: number;
  readonly source: Credentials;
}): Record<string, string> {
  const { url, body, region, nowMs, source } = request;
  const { host, pathname } = new URL(url);
  const time = amzDate(nowMs);
  const place = { day: time.slice(0, 8), region, service: "sts", terminator: "aws4_request" };
  const scope = `${place.day}/${region}/${place.service}/${place.terminator}`;
  const { sessionToken } = source;
  const headers: Record<string, string> = {
    "content-type": CONTENT_TYPE,
    host,
    "x-amz-date": time,
    ...(sessionToken === undefined ? {} : { "x-amz-security-token": sessionToken }),
  };
  const names = Object.keys(headers).sort();
  const lines = names.map((name) => `${name}:${headers[name]}\n`).join("");
  const canonical = ["POST", pathname, "", lines, names.join(";"), hash("sha256", body, "hex")].join("\n");
  const toSign = ["AWS4-HMAC-SHA256", time, scope, hash("sha256", canonical, "hex")].join("\n");
  const key = deriveSigningKey(`AWS4${source.secretAccessKey}`, place);
  const signature = createHmac("sha256", key).update(toSign).digest("hex");
  const { host: _host, ...sent } = headers;
  return {
    ...sent,
    authorization: `AWS4-HMAC-SHA256 Credential=${source.accessKeyId}/${scope}, SignedHeaders=${names.join(";")}, Signature=${signature}`,
  };
}

/** Text of the first element of that name. The service's answers nest no element in one of its own name. */
function elementText(xml: string, name: string): string | undefined {
  const text = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];
  return text?.replace(/&(lt|gt|quot|apos|amp);/g, (_, entity: string) => ENTITIES[entity]!).trim();
}

const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
