/** Addresses in buckets: `s3://bucket[/prefix]` is a forge, with `/org/project` after it a project there. */
import { usageError } from "./errors.ts";

const SCHEME = /^s3:\/\//i;
/** What S3 and its likes allow; the environment's reader says more. */
const BUCKET = /^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/;
const PART = /^[\x21-\x7e]+$/;

export function isBucketAddress(text: string): boolean {
  return SCHEME.test(text);
}

/** `s3://bucket` and what comes after it, part by part. Errors: `usage`. */
export function parseBucketAddress(text: string): {
  readonly bucket: string;
  readonly parts: readonly string[];
} {
  const shown = JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
  const [bucket = "", ...rest] = text.replace(SCHEME, "").replace(/\/+$/, "").split("/");
  if (bucket === "") throw usageError(`${shown} names no bucket`, "write s3://bucket/org/project");
  if (bucket.includes("@") || bucket.includes(":")) {
    throw usageError(
      `${shown} has more than a bucket's name before the first slash`,
      "write s3://bucket/…; the server is named by S3_ENDPOINT or `mic config set s3.endpoint URL`",
    );
  }
  if (!BUCKET.test(bucket)) {
    throw usageError(
      `${JSON.stringify(bucket)} is not the name of a bucket`,
      "3 to 63 lowercase letters, digits, dots and hyphens",
    );
  }
  for (const part of rest) {
    if (part === "." || part === ".." || !PART.test(part) || /[?#\\]/.test(part)) {
      throw usageError(`${shown} has a part that cannot be one`, "write s3://bucket/prefix/org/project");
    }
  }
  return { bucket, parts: rest };
}

/** Without a slash at its end: the same forge has one address. */
export function formatBucketForge(bucket: string, prefix: readonly string[]): string {
  return ["s3:/", bucket, ...prefix].join("/");
}

/** The last two parts are the project. Errors: `usage` when there are none. */
export function parseBucketProject(text: string): { readonly forge: string; readonly project: string } {
  const { bucket, parts } = parseBucketAddress(text);
  if (parts.length < 2) {
    const forge = formatBucketForge(bucket, parts);
    throw usageError(
      `${forge} is a bucket${parts.length > 0 ? " and a prefix" : ""}; which project?`,
      `write ${forge}/org/project`,
    );
  }
  return { forge: formatBucketForge(bucket, parts.slice(0, -2)), project: parts.slice(-2).join("/") };
}

export function parseBucketForge(text: string): string {
  const { bucket, parts } = parseBucketAddress(text);
  return formatBucketForge(bucket, parts);
}
