/** Where a bucket is: which host answers for a region, and how a key becomes a path. */
import { MicError } from "../../base/errors.ts";
import { isStoreKey } from "../store-key.ts";
import type { S3Addressing, S3Dialect, S3Options } from "./options.ts";
import { encodePath } from "./uri.ts";

/** Bytes; keys of the forge stay below half of what a store allows. */
const PREFIX_BYTES_MAX = 512;
const BUCKET = /^[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){1,253}[A-Za-z0-9]$/;
const REGION = /^[A-Za-z0-9][A-Za-z0-9-]{0,62}$/;
const AWS_HOST = /(?:^|\.)amazonaws\.com(?:\.cn)?$/;

export interface Target {
  /** `https://host:port`, without a path. */
  readonly origin: string;
  /** As in the `Host` header. */
  readonly host: string;
  /** Encoded path of the bucket itself, ends with a slash. */
  readonly bucketPath: string;
}

/** Errors: `usage` naming the setting to fix, `unsupported` for stores that cannot host a forge. */
export class Endpoint {
  readonly bucket: string;
  readonly dialect: S3Dialect;
  /** The endpoint as it was given; absent on AWS itself. */
  readonly given: string | undefined;
  /** Sent with every request, not signed. */
  readonly extraHeaders: Readonly<Record<string, string>>;
  readonly #url: URL | undefined;
  readonly #addressing: S3Addressing;

  constructor(options: S3Options) {
    checkBucket(options.bucket);
    checkPrefix(options.prefix);
    checkRegion(options.region);
    this.bucket = options.bucket;
    this.#url = options.endpoint === undefined ? undefined : parseEndpoint(options.endpoint);
    this.given = this.#url?.origin;
    const host = this.#url?.hostname ?? "amazonaws.com";
    refuseUnsupported(host, options.bucket);
    this.dialect = options.dialect ?? (isGcsHost(host) ? "gcs" : "s3");
    this.#addressing = options.addressing ?? defaultAddressing(host, options.bucket);
    // Without it a read may come from another region's copy, after a write here.
    this.extraHeaders = isTigrisHost(host) ? { "x-tigris-consistent": "true" } : {};
  }

  get isAws(): boolean {
    return this.#url === undefined || AWS_HOST.test(this.#url.hostname);
  }

  target(region: string): Target {
    return this.#at(this.#url ?? new URL(`https://s3.${region}.${awsSuffix(region)}`));
  }

  /** AWS's own endpoint of a region, whichever was given. */
  awsTarget(region: string): Target {
    return this.#at(new URL(`https://s3.${region}.${awsSuffix(region)}`));
  }

  #at(url: URL): Target {
    if (this.#addressing === "path") {
      return { origin: url.origin, host: url.host, bucketPath: `/${encodePath(this.bucket)}/` };
    }
    const host = `${this.bucket}.${url.host}`;
    return { origin: `${url.protocol}//${host}`, host, bucketPath: "/" };
  }

  /**
   * Where AWS sent us with a redirect that names no region: only another host of AWS for the same bucket.
   * `undefined` for anything else; a signed request must not go to a host of somebody's choice.
   */
  redirectTarget(location: string | undefined): Target | undefined {
    if (location === undefined || !this.isAws || !URL.canParse(location)) return undefined;
    const url = new URL(location);
    if (url.protocol !== "https:" || !AWS_HOST.test(url.hostname) || url.port !== "") return undefined;
    if (url.hostname.startsWith(`${this.bucket}.`)) {
      return { origin: url.origin, host: url.host, bucketPath: "/" };
    }
    return { origin: url.origin, host: url.host, bucketPath: `/${encodePath(this.bucket)}/` };
  }
}

function awsSuffix(region: string): string {
  return region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
}

function defaultAddressing(host: string, bucket: string): S3Addressing {
  // The certificate of *.s3.amazonaws.com has one level.
  return AWS_HOST.test(host) && !bucket.includes(".") && /^[a-z0-9.-]+$/.test(bucket) ? "virtual" : "path";
}

function isGcsHost(host: string): boolean {
  return host === "storage.googleapis.com" || host.endsWith(".storage.googleapis.com");
}

function isTigrisHost(host: string): boolean {
  return /(?:^|\.)(?:tigris\.dev|t3\.storage\.dev|t3\.tigrisfiles\.io)$/.test(host);
}

function refuseUnsupported(host: string, bucket: string): void {
  if (/(?:^|\.)backblazeb2\.com$/.test(host)) {
    throw new MicError(
      "unsupported",
      "Backblaze B2 has no conditional writes (it answers 501), so it cannot hold a head",
      {
        hint: "use a store with If-Match and If-None-Match on PUT: AWS S3, Cloudflare R2, Google Cloud Storage, Tigris, MinIO",
        data: { host },
      },
    );
  }
  if (bucket.endsWith("--x-s3")) {
    throw new MicError("unsupported", `${bucket} is a directory bucket, whose keys are listed in no order`, {
      hint: "use a general purpose bucket",
    });
  }
}

function parseEndpoint(text: string): URL {
  const fix = {
    hint: "set S3_ENDPOINT to a URL such as https://nyc3.digitaloceanspaces.com, or to nothing for AWS",
  };
  if (!URL.canParse(text))
    throw new MicError("usage", `S3 endpoint ${JSON.stringify(text)} is not a URL`, fix);
  const url = new URL(text);
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new MicError("usage", `S3 endpoint ${JSON.stringify(text)} is neither https nor http`, fix);
  }
  if (url.username !== "" || url.password !== "") {
    // The text is not repeated: it has a secret in it.
    throw new MicError("usage", "the S3 endpoint has credentials in it", {
      hint: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead",
    });
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    throw new MicError("usage", `S3 endpoint ${JSON.stringify(text)} has a path`, {
      hint: `set S3_ENDPOINT=${url.origin}, and name the bucket apart from it`,
    });
  }
  return url;
}

function checkBucket(bucket: string): void {
  if (bucket === "") {
    throw new MicError("usage", "no S3 bucket is named", {
      hint: "pass --s3-bucket NAME or set S3_BUCKET=your-bucket-name",
    });
  }
  if (!BUCKET.test(bucket)) {
    throw new MicError("usage", `${JSON.stringify(bucket)} cannot be the name of a bucket`, {
      hint: "set S3_BUCKET to the name alone: 3 to 63 lowercase letters, digits, dots and hyphens",
    });
  }
}

function checkPrefix(prefix: string): void {
  if (prefix === "") return;
  if (!prefix.endsWith("/") || prefix.length > PREFIX_BYTES_MAX || !isStoreKey(prefix.slice(0, -1))) {
    throw new MicError("usage", `${JSON.stringify(prefix)} cannot be a prefix in a bucket`, {
      hint: "use parts of printable ASCII such as team/forge, 512 bytes at most",
    });
  }
}

function checkRegion(region: string): void {
  if (!REGION.test(region)) {
    throw new MicError("usage", `${JSON.stringify(region)} cannot be a region`, {
      hint: "set S3_REGION to the bucket's region, such as us-east-1 (auto on Cloudflare R2)",
    });
  }
}
