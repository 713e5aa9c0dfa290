/** The platforms that `mic` is built for, and the packages that carry their native parts. */

export interface BuildTarget {
  /** As given to `--target`, e.g. `linux-x64-musl`. */
  readonly name: string;
  /** Bun's name for it. */
  readonly bunTarget: string;
  /** npm package with Bun's runtime. */
  readonly runtimePackage: string;
  /** The runtime inside that package. */
  readonly runtimeFile: string;
  /** npm package with the BLAKE3 add-on. */
  readonly hashPackage: string;
  readonly hashFile: string;
  /** Entry of better-sqlite3 that loads exactly this platform's add-on. */
  readonly sqliteEntry: string;
  readonly executableSuffix: "" | ".exe";
}

const ARCHITECTURES = ["x64", "arm64"] as const;
type Architecture = (typeof ARCHITECTURES)[number];

interface PlatformNames {
  readonly name: (arch: Architecture) => string;
  readonly bun: (bunArch: string) => string;
  readonly hash: (arch: Architecture) => string;
  readonly sqlite: (arch: Architecture) => string;
  readonly suffix: "" | ".exe";
}

const PLATFORMS: readonly PlatformNames[] = [
  {
    name: (arch) => `linux-${arch}`,
    bun: (arch) => `linux-${arch}`,
    hash: (arch) => `linux-${arch}-gnu`,
    sqlite: (arch) => `linux-${arch}`,
    suffix: "",
  },
  {
    name: (arch) => `linux-${arch}-musl`,
    bun: (arch) => `linux-${arch}-musl`,
    hash: (arch) => `linux-${arch}-musl`,
    sqlite: (arch) => `linuxmusl-${arch}`,
    suffix: "",
  },
  {
    name: (arch) => `darwin-${arch}`,
    bun: (arch) => `darwin-${arch}`,
    hash: (arch) => `darwin-${arch}`,
    sqlite: (arch) => `darwin-${arch}`,
    suffix: "",
  },
  {
    name: (arch) => `windows-${arch}`,
    bun: (arch) => `windows-${arch}`,
    hash: (arch) => `win32-${arch}-msvc`,
    sqlite: (arch) => `win32-${arch}`,
    suffix: ".exe",
  },
];

function describe(platform: PlatformNames, arch: Architecture): BuildTarget {
  const bunArch = arch === "arm64" ? "aarch64" : arch;
  return {
    name: platform.name(arch),
    bunTarget: `bun-${platform.bun(arch)}`,
    runtimePackage: `@oven/bun-${platform.bun(bunArch)}`,
    runtimeFile: `bin/bun${platform.suffix}`,
    hashPackage: `@napi-rs/blake-hash-${platform.hash(arch)}`,
    hashFile: `blake.${platform.hash(arch)}.node`,
    sqliteEntry: `lib/${platform.sqlite(arch)}.js`,
    executableSuffix: platform.suffix,
  };
}

export const BUILD_TARGETS: readonly BuildTarget[] = PLATFORMS.flatMap((platform) =>
  ARCHITECTURES.map((arch) => describe(platform, arch)),
);

/** The target of the machine that runs the build. */
export function hostTarget(platform: string, arch: string, musl: boolean): BuildTarget {
  const os = platform === "win32" ? "windows" : platform;
  const name = `${os}-${arch}${os === "linux" && musl ? "-musl" : ""}`;
  return findTarget(name);
}

export function findTarget(name: string): BuildTarget {
  const target = BUILD_TARGETS.find((candidate) => candidate.name === name);
  if (target === undefined) {
    throw new Error(`unknown target ${name}; known: ${BUILD_TARGETS.map((known) => known.name).join(", ")}`);
  }
  return target;
}
