/** The code blocks of /SKILL.md as an agent would run them: one bash, one directory, nothing but curl. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SkillBlocks {
  readonly setUp: string;
  readonly create: string;
  readonly clone: string;
  readonly edit: string;
  readonly define: string;
  readonly notes: string;
  readonly conflict: string;
  readonly look: string;
  /** `start && record && land` */
  readonly land: string;
}

/** Fails when the text no longer has the blocks that the tests run: none may go unrun. */
export function skillBlocks(text: string): SkillBlocks {
  const blocks = [...text.matchAll(/```bash(?: (\w+))?\n([\s\S]*?)```/g)].map(([, name, code]) => ({
    name: name ?? "",
    code: code!,
  }));
  const named = (name: string): string => {
    const found = blocks.filter((block) => block.name === name);
    if (found.length !== 1) throw new Error(`${found.length} blocks named ${name}`);
    return found[0]!.code;
  };
  const [setUp, clone, define, land, landAgain, ...others] = blocks.filter(({ name }) => name === "");
  if (land === undefined || landAgain?.code !== land.code || others.length > 0) {
    throw new Error("the blocks without a name are not: set up, clone, define, land, land");
  }
  if (blocks.length !== 10) throw new Error(`${blocks.length} blocks`);
  return {
    setUp: setUp!.code,
    create: named("create"),
    clone: clone!.code,
    edit: named("edit"),
    define: define!.code,
    notes: named("notes"),
    conflict: named("conflict"),
    look: named("look"),
    land: land.code,
  };
}

export interface ScriptResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** In a fresh directory, which is removed. */
export async function runBash(
  parts: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<ScriptResult> {
  const directory = mkdtempSync(join(tmpdir(), "mic-skill-"));
  try {
    return await new Promise((resolve, reject) => {
      const child = spawn("bash", ["-s"], {
        cwd: directory,
        env: { PATH: process.env["PATH"] ?? "", HOME: directory, ...env },
      });
      const output = { stdout: "", stderr: "" };
      child.stdout.on("data", (part: Buffer) => {
        output.stdout += part.toString();
      });
      child.stderr.on("data", (part: Buffer) => {
        output.stderr += part.toString();
      });
      child.on("error", reject);
      child.on("close", (code) => resolve({ code, ...output }));
      child.stdin.end(parts.join("\n"));
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
}
