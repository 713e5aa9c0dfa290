/** `mic version`. Imports nothing that takes time to load: this is the first thing a script asks. */
import { readFileSync } from "node:fs";
import { FORMAT_VERSIONS } from "./formats.ts";

// Replaced by scripts/build-binary.ts; absent when run from the source tree.
declare const MIC_BUILD_VERSION: string | undefined;
declare const MIC_BUILD_COMMIT: string | undefined;
declare const MIC_BUILD_DATE: string | undefined;

export interface VersionInfo {
  readonly version: string;
  readonly commit: string;
  /** RFC 3339, the date of the commit. */
  readonly built: string;
  readonly runtime: string;
  readonly platform: string;
  /** Version of each stored format that this build writes. */
  readonly formats: Readonly<Record<string, number>>;
}

/** True when the arguments ask for the version and for nothing that needs more than that. */
export function isPlainVersionRequest(args: readonly string[]): boolean {
  const rest = args.filter((arg) => arg !== "--json");
  return rest.length === 1 && (rest[0] === "version" || rest[0] === "--version" || rest[0] === "-V");
}

export function versionInfo(): VersionInfo {
  const bun = process.versions["bun"];
  return {
    version: productVersion(),
    commit: typeof MIC_BUILD_COMMIT === "string" ? MIC_BUILD_COMMIT : "source",
    built: typeof MIC_BUILD_DATE === "string" ? MIC_BUILD_DATE : "not built",
    runtime: bun === undefined ? `node ${process.versions.node}` : `bun ${bun}`,
    platform: `${process.platform}-${process.arch}`,
    formats: FORMAT_VERSIONS,
  };
}

/** What two processes must have in common to be of one build. */
export function productBuild(): string {
  return `${productVersion()} ${typeof MIC_BUILD_COMMIT === "string" ? MIC_BUILD_COMMIT : "source"}`;
}

export function versionText(json: boolean): string {
  const info = versionInfo();
  if (json) return `${JSON.stringify(info)}\n`;
  const formats = Object.entries(info.formats).map(([name, version]) => `${name} ${version}`);
  return [
    `mic ${info.version} (${info.commit}, ${info.built})`,
    `runtime ${info.runtime}, ${info.platform}`,
    `formats ${formats.join(", ")}`,
    "",
  ].join("\n");
}

function productVersion(): string {
  if (typeof MIC_BUILD_VERSION === "string") return MIC_BUILD_VERSION;
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
