/** What kind of object a store key, or a prefix of keys, is: the rows of the table of faults. */

const PROJECT = /^projects\/[0-9a-f]{32}\/(.*)$/;
const CLASSES: readonly (readonly [prefix: string, name: string])[] = [
  ["head", "head"],
  ["meta", "meta"],
  ["packs/", "pack"],
  ["blobs/", "blob"],
  ["pages/", "page"],
  ["landing-log/", "rollup"],
  ["sessions/", "session"],
  ["gc/", "gc"],
];

export function classOf(key: string): string {
  if (key.startsWith("names/")) return "name";
  if (key.startsWith("organizations/")) return "organization";
  const rest = PROJECT.exec(key)?.[1];
  if (rest === undefined || rest === "") return "project";
  return CLASSES.find(([prefix]) => rest.startsWith(prefix))?.[1] ?? "other";
}
