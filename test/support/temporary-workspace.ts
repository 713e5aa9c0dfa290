/** A directory with an empty `.mic`, removed at the end of the test. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export interface TemporaryWorkspace extends Disposable {
  readonly root: string;
  path(name: string): string;
  /** Text content; parents are made. */
  write(name: string, content: string | Uint8Array): void;
  writeExecutable(name: string, content: string): void;
  link(name: string, target: string): void;
  makeDirectory(name: string): void;
  remove(name: string): void;
}

export function temporaryWorkspace(): TemporaryWorkspace {
  const root = mkdtempSync(join(tmpdir(), "mic-workspace-"));
  mkdirSync(join(root, ".mic"));
  const prepare = (name: string): string => {
    const path = join(root, name);
    mkdirSync(dirname(path), { recursive: true });
    return path;
  };
  return {
    root,
    path: (name) => join(root, name),
    write: (name, content) => writeFileSync(prepare(name), content),
    writeExecutable(name, content) {
      writeFileSync(prepare(name), content);
      chmodSync(join(root, name), 0o755);
    },
    link: (name, target) => symlinkSync(target, prepare(name)),
    makeDirectory: (name) => {
      mkdirSync(join(root, name), { recursive: true });
    },
    remove: (name) => rmSync(join(root, name), { recursive: true }),
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}
