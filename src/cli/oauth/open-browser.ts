/** Starts the browser of the desktop, where there is one. */
import { spawn } from "node:child_process";

/** False where none could be started. `url` is http(s), so no program takes it for an option. */
export function openInBrowser(url: string, platform: NodeJS.Platform): boolean {
  const [program, ...args] = commandFor(platform);
  try {
    const child = spawn(program!, [...args, url], { stdio: "ignore", detached: true });
    // Said elsewhere: the page can be opened by hand.
    child.once("error", () => undefined);
    child.unref();
    return child.pid !== undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** None of them passes the address through a shell. */
function commandFor(platform: NodeJS.Platform): readonly string[] {
  if (platform === "darwin") return ["open"];
  return platform === "win32" ? ["rundll32", "url.dll,FileProtocolHandler"] : ["xdg-open"];
}
