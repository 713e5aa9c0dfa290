/** Lets a person edit a piece of text in their editor. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { MicError } from "../../core/base/errors.ts";

/** VISUAL, EDITOR, the configuration, else `vi` (`notepad` on Windows). */
export function chooseEditor(
  env: Readonly<Record<string, string | undefined>>,
  preference: string | undefined,
  platform: NodeJS.Platform,
): string {
  const chosen = preference ?? env["VISUAL"] ?? env["EDITOR"];
  if (chosen !== undefined && chosen.trim() !== "") return chosen;
  return platform === "win32" ? "notepad" : "vi";
}

/** The new text, or undefined when the editor failed. `name` only serves the editor's syntax colours. */
export function editText(editor: string, text: Uint8Array, name: string): Uint8Array | undefined {
  const directory = mkdtempSync(path.join(tmpdir(), "mic-edit-"));
  try {
    const extension = path.extname(name).replace(/[^A-Za-z0-9.]/g, "");
    const file = path.join(directory, `hunk${extension}`);
    writeFileSync(file, text);
    // The editor may be a command line with arguments: a shell reads it, the file is passed apart.
    const result =
      process.platform === "win32"
        ? spawnSync(`${editor} "${file}"`, { shell: true, stdio: "inherit" })
        : spawnSync("/bin/sh", ["-c", `${editor} "$1"`, "sh", file], { stdio: "inherit" });
    if (result.error !== undefined) {
      throw new MicError("not-found", `the editor ${editor} cannot be started`, {
        hint: "set EDITOR, or `mic config set ui.editor COMMAND`",
        cause: result.error,
      });
    }
    return result.status === 0 ? readFileSync(file) : undefined;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
