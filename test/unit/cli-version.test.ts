import { describe, expect, it } from "vitest";
import { FORMAT_VERSIONS } from "../../src/cli/formats.ts";
import { isPlainVersionRequest, versionText } from "../../src/cli/version.ts";
import { HEAD_VERSION } from "../../src/core/codec/head.ts";
import { RECORD_VERSION } from "../../src/core/codec/landing-record.ts";
import { PACK_VERSION } from "../../src/core/codec/pack.ts";
import { SESSION_VERSION } from "../../src/core/codec/session.ts";
import { WORKSPACE_SETTINGS_VERSION } from "../../src/core/codec/workspace-settings.ts";
import { NODE_VERSION } from "../../src/core/prolly/node.ts";

describe("mic version", () => {
  it("names the versions that the codecs write", () => {
    expect(FORMAT_VERSIONS).toEqual({
      head: HEAD_VERSION,
      pack: PACK_VERSION,
      tree: NODE_VERSION,
      landing: RECORD_VERSION,
      session: SESSION_VERSION,
      workspace: WORKSPACE_SETTINGS_VERSION,
    });
  });

  it("is answered at once only when nothing else is asked", () => {
    for (const args of [["version"], ["--version"], ["-V"], ["version", "--json"], ["--json", "version"]]) {
      expect(isPlainVersionRequest(args)).toBe(true);
    }
    for (const args of [[], ["version", "--help"], ["-C", "x", "version"], ["status"]]) {
      expect(isPlainVersionRequest(args)).toBe(false);
    }
  });

  it("has a text and a document", () => {
    expect(versionText(false)).toMatch(/^mic \d+\.\d+\.\d+ \(.*\)\nruntime .*\nformats head 1, /);
    expect(JSON.parse(versionText(true))).toMatchObject({
      version: expect.stringMatching(/^\d/),
      formats: FORMAT_VERSIONS,
    });
  });
});
