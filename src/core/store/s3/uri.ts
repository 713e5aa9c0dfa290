/** Percent-encoding as AWS's signature wants it: everything but A–Z a–z 0–9 - . _ ~, as %XX of UTF-8. */

const PLAIN_PATH = /^[A-Za-z0-9/._~-]*$/;
const KEPT_BY_JAVASCRIPT = /[!'()*]/g;

export function encodePart(text: string): string {
  return encodeURIComponent(text).replace(
    KEPT_BY_JAVASCRIPT,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Once, and slashes stay: S3 does not normalise paths and does not encode them twice. */
export function encodePath(path: string): string {
  return PLAIN_PATH.test(path) ? path : path.split("/").map(encodePart).join("/");
}

/** Sorted by the encoded name, which is what is signed, so that one text serves both. Names are distinct. */
export function encodeQuery(parameters: Readonly<Record<string, string>>): string {
  return Object.entries(parameters)
    .map(([name, value]): [string, string] => [encodePart(name), encodePart(value)])
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}
