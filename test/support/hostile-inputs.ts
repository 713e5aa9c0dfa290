/** What an enemy would send, whichever way it goes: paths, trees, frames and packs. */
import { zstdCompressSync } from "node:zlib";
import { utf8 } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import type { Frame } from "../../src/core/objects/frame.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import type { HostileEntry } from "./hostile-landing.ts";

/** No tree holds one of these (numbers 1 to 7, 13 and 14 of docs/hostile-inputs.md). */
export const FORBIDDEN_PATHS: readonly string[] = [
  "../escape",
  "a/../../b",
  "/etc/passwd",
  "a//b",
  "./a",
  "a/",
  ".mic/settings",
  "sub/.MIC/x",
  ".git/config",
  ".GIT/config",
  "sub/.git/hooks/post-checkout",
  ".hg/hgrc",
  "sub/.Jj/x",
  ".g\u200cit/config",
  ".m\u2063ic/x",
  "GIT~1/x",
  "mic~1/x",
  ".git./x",
  ".git /x",
  ".git::$INDEX_ALLOCATION/x",
  "a\\b",
  "C:/x",
  "nul\0byte",
  "n".repeat(70_000),
  "d/".repeat(10_000).concat("f"),
];

const link = (path: string, target: string): HostileEntry => ({ path, content: target, kind: "symlink" });
const file = (path: string): HostileEntry => ({ path, content: "evil\n" });

/** Trees whose paths are sound one by one, beside trees with one path that is not. All beside a file `f`. */
export const HOSTILE_TREES: readonly (readonly [string, readonly HostileEntry[]])[] = [
  ["a file under .git", [file("sound"), file(".git/hooks/post-checkout")]],
  ["a file under sub/.Mic", [file("sound"), file("sub/.Mic/settings")]],
  ["a way out", [file("sound"), file("../escape")]],
  ["a link to .mic with a file below it", [file("sound"), link("s", ".mic"), file("s/x")]],
  ["a link to / with a file below it", [file("sound"), link("s", "/"), file("s/tmp/mic-escaped")]],
  ["a file that is a directory", [file("sound"), file("both"), file("both/below")]],
];

export const BOMB_BYTES: number = 256 << 20;
let made: Uint8Array | undefined;

/** 256 MiB of zeros in 8 KiB. */
export function bomb(): Uint8Array {
  made ??= zstdCompressSync(Buffer.alloc(BOMB_BYTES));
  return made;
}

function objectOf(content: Uint8Array) {
  return {
    id: hashObject(content),
    kind: "blob",
    offset: 0,
    length: content.length,
    sidecarLength: 0,
  } as const;
}

/** What the compressed ones of `lyingFrames(content)` claim to hold. */
export function repeated(content: Uint8Array): Buffer {
  return Buffer.alloc(100_000, content);
}

/** Frames that claim to hold `content`, of at least 2 bytes, or `repeated(content)`, and do not. */
export function lyingFrames(content: Uint8Array): readonly (readonly [string, Frame])[] {
  const object = objectOf(content);
  const rawLength = content.length;
  const other = Uint8Array.from(content, (byte) => byte ^ 1);
  const large = repeated(content);
  const largeObject = objectOf(large);
  const packed = zstdCompressSync(large);
  const half = (start: number) => zstdCompressSync(large.subarray(start, start + 50_000));
  const compressed = (stored: Uint8Array): Frame => ({
    compressed: true,
    rawLength: large.length,
    stored,
    objects: [largeObject],
  });
  return [
    ["other content of that length", { compressed: false, rawLength, stored: other, objects: [object] }],
    [
      "less than its raw length",
      { compressed: false, rawLength, stored: content.subarray(1), objects: [object] },
    ],
    [
      "less than its object",
      { compressed: false, rawLength: rawLength - 1, stored: content.subarray(1), objects: [object] },
    ],
    ["no objects", { compressed: false, rawLength, stored: content, objects: [] }],
    ["a bomb", compressed(bomb())],
    [
      "a bomb that says so",
      { ...compressed(bomb()), rawLength: BOMB_BYTES, objects: [{ ...object, length: BOMB_BYTES }] },
    ],
    ["compressed content that is cut", compressed(packed.subarray(0, -3))],
    ["compressed content with bytes behind it", compressed(Buffer.concat([packed, utf8("more")]))],
    ["two compressed frames", compressed(Buffer.concat([half(0), half(50_000)]))],
    ["what is not compressed", compressed(Buffer.from("not zstd at all, whatever the flag says"))],
  ];
}

/** Packs of one blob that are none. */
export function lyingPacks(content: Uint8Array): readonly (readonly [string, Uint8Array])[] {
  const frames = new FrameBuilder({ rawTarget: 1024 });
  frames.add("blob", hashObject(content), content);
  const { bytes } = encodePack(frames.finish());
  const changed = (offset: number, value: readonly number[]): Uint8Array => {
    const copy = Uint8Array.from(bytes);
    copy.set(value, offset);
    return copy;
  };
  const end = bytes.length;
  const FULL = [0xff, 0xff, 0xff, 0xff];
  return [
    ["a count of 0xFFFFFFFF frames", changed(end - 36, FULL)],
    ["a count of 0xFFFFFFFF objects", changed(end - 32, FULL)],
    ["an index of 0xFFFFFFFF bytes", changed(end - 28, FULL)],
    ["another version", changed(4, [9])],
    ["a flipped byte of content", changed(8, [bytes[8]! ^ 1])],
    ["its last byte cut off", bytes.subarray(0, -1)],
    ["nothing but its trailer", bytes.subarray(-36)],
    ["a byte behind it", Buffer.concat([bytes, Uint8Array.of(0)])],
    ["zeros", new Uint8Array(end)],
  ];
}
