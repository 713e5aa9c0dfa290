/**
 * Whether and where traces go, from the variables that OpenTelemetry's specification names. Nothing is traced unless
 * an endpoint is set, or `OTEL_TRACES_EXPORTER=otlp`.
 */
import { MicError } from "../../core/base/errors.ts";

export interface TraceSettings {
  /** Of the collector: where a batch is posted. */
  readonly endpoint: string;
  /** May hold credentials: never shown. */
  readonly headers: Readonly<Record<string, string>>;
  readonly isGzipped: boolean;
  readonly timeoutMs: number;
  readonly sampler: Sampler;
  /** Attributes of the resource, the service's name among them. */
  readonly resource: Readonly<Record<string, string>>;
  readonly queueMax: number;
  readonly batchMax: number;
  readonly delayMs: number;
  readonly warnings: readonly string[];
}

/** `ratio` of the traces that begin here; with `parentBased` a caller's own decision comes first. */
export interface Sampler {
  readonly ratio: number;
  readonly parentBased: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

const ENDPOINT_DEFAULT = "http://localhost:4318";
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Undefined: no traces. Errors: `usage` names the variable. */
export function readTraceSettings(env: Environment): TraceSettings | undefined {
  if (read(env, "OTEL_SDK_DISABLED")?.toLowerCase() === "true") return undefined;
  const exporter = read(env, "OTEL_TRACES_EXPORTER");
  if (exporter === "none") return undefined;
  if (exporter !== undefined && exporter !== "otlp") {
    throw wrong(`OTEL_TRACES_EXPORTER=${exporter}`, "is not an exporter of this program", "otlp, or none");
  }
  const base = read(env, "OTEL_EXPORTER_OTLP_ENDPOINT");
  const own = read(env, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
  if (base === undefined && own === undefined && exporter === undefined) return undefined;
  const warnings: string[] = [];
  checkProtocol(env, warnings);
  const queueMax = readCount(env, "OTEL_BSP_MAX_QUEUE_SIZE", 1) ?? 2048;
  return {
    endpoint:
      own === undefined
        ? `${checkUrl("OTEL_EXPORTER_OTLP_ENDPOINT", base ?? ENDPOINT_DEFAULT).replace(/\/+$/, "")}/v1/traces`
        : checkUrl("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", own),
    headers: {
      ...readHeaders(env, "OTEL_EXPORTER_OTLP_HEADERS"),
      ...readHeaders(env, "OTEL_EXPORTER_OTLP_TRACES_HEADERS"),
    },
    isGzipped: readCompression(env),
    timeoutMs:
      readCount(env, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", 1) ??
      readCount(env, "OTEL_EXPORTER_OTLP_TIMEOUT", 1) ??
      10_000,
    sampler: readSampler(env),
    resource: readResource(env),
    queueMax,
    batchMax: Math.min(readCount(env, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1) ?? 512, queueMax),
    delayMs: readCount(env, "OTEL_BSP_SCHEDULE_DELAY", 1) ?? 5_000,
    warnings,
  };
}

function checkProtocol(env: Environment, warnings: string[]): void {
  const name = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"].find(
    (each) => read(env, each) !== undefined,
  );
  if (name === undefined) return;
  const protocol = read(env, name)!;
  if (protocol === "http/json") return;
  if (protocol !== "http/protobuf") {
    throw wrong(
      `${name}=${protocol}`,
      "is not spoken here",
      "http/json, at the collector's port for HTTP (4318)",
    );
  }
  warnings.push(
    `${name}=http/protobuf: spans are sent as http/json, which collectors take at the same place`,
  );
}

function checkUrl(name: string, text: string): string {
  const url = /^https?:\/\/[^/\\\s]/i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && url.username === "" && url.password === "") return url.href;
  // It may hold a secret.
  throw wrong(name, "is not an http(s):// address without a user", ENDPOINT_DEFAULT);
}

/** `name=value,name=value`, the values percent-encoded. */
function readHeaders(env: Environment, name: string): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const pair of read(env, name)?.split(",") ?? []) {
    const equals = pair.indexOf("=");
    const key = pair.slice(0, Math.max(0, equals)).trim().toLowerCase();
    const value = decode(pair.slice(equals + 1).trim());
    if (!HEADER_NAME.test(key) || value === undefined || !/^[\x20-\x7e]*$/.test(value)) {
      throw wrong(name, "is not name=value,name=value", "authorization=Bearer%20...");
    }
    headers[key] = value;
  }
  return headers;
}

function readResource(env: Environment): Record<string, string> {
  const attributes: Record<string, string> = {};
  for (const pair of read(env, "OTEL_RESOURCE_ATTRIBUTES")?.split(",") ?? []) {
    const equals = pair.indexOf("=");
    const key = pair.slice(0, Math.max(0, equals)).trim();
    const value = decode(pair.slice(equals + 1).trim());
    if (key === "" || value === undefined) {
      throw wrong(
        "OTEL_RESOURCE_ATTRIBUTES",
        "is not key=value,key=value",
        "deployment.environment.name=test",
      );
    }
    attributes[key] = value;
  }
  const service = read(env, "OTEL_SERVICE_NAME") ?? attributes["service.name"] ?? "mic";
  return { ...attributes, "service.name": service };
}

function readSampler(env: Environment): Sampler {
  const name = read(env, "OTEL_TRACES_SAMPLER") ?? "parentbased_always_on";
  const parentBased = name.startsWith("parentbased_");
  switch (parentBased ? name.slice("parentbased_".length) : name) {
    case "always_on":
      return { ratio: 1, parentBased };
    case "always_off":
      return { ratio: 0, parentBased };
    case "traceidratio": {
      const text = read(env, "OTEL_TRACES_SAMPLER_ARG") ?? "1";
      const ratio = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
      if (ratio >= 0 && ratio <= 1) return { ratio, parentBased };
      throw wrong(`OTEL_TRACES_SAMPLER_ARG=${text}`, "is not a number from 0 to 1", "0.1");
    }
    default:
      throw wrong(
        `OTEL_TRACES_SAMPLER=${name}`,
        "is not a sampler of this program",
        "parentbased_traceidratio",
      );
  }
}

function readCompression(env: Environment): boolean {
  const text =
    read(env, "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION") ??
    read(env, "OTEL_EXPORTER_OTLP_COMPRESSION") ??
    "none";
  if (text === "gzip" || text === "none") return text === "gzip";
  throw wrong(
    `OTEL_EXPORTER_OTLP_COMPRESSION=${text}`,
    "is not a compression of this program",
    "gzip, or none",
  );
}

function readCount(env: Environment, name: string, least: number): number | undefined {
  const text = read(env, name);
  if (text === undefined) return undefined;
  const count = Number(text);
  if (/^\d{1,9}$/.test(text) && count >= least) return count;
  throw wrong(`${name}=${text}`, `is not a whole number of at least ${least}`, "5000");
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}

/** An empty variable is one that is not set. */
function read(env: Environment, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === "" ? undefined : value;
}

function wrong(what: string, problem: string, example: string): MicError {
  return new MicError("usage", `${what} ${problem}`, { hint: `e.g. ${example}` });
}
