/** nginx as the HTTP cache in front of a bucket: what a CDN is, on one's own machine. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "./object-servers.ts";

export interface HttpCache extends AsyncDisposable {
  readonly url: string;
  /** Turns over one bit in the middle of every object that it holds. Returns how many they are. */
  poison(): number;
}

const READY_MS_MAX = 10_000;

/** Below `directory`, which must be there. Throws where there is no nginx. */
export async function startNginx(directory: string, originPort: number): Promise<HttpCache> {
  const executable = Bun.which("nginx", { PATH: `${process.env["PATH"]}:/usr/sbin:/usr/local/sbin` });
  if (executable === null) throw new Error("nginx is not installed: apt-get install nginx");
  const port = await freePort();
  const cache = join(directory, "cache");
  for (const name of ["cache", "body", "proxy", "fastcgi", "uwsgi", "scgi"]) {
    mkdirSync(join(directory, name), { recursive: true });
  }
  writeFileSync(join(directory, "nginx.conf"), configuration(directory, cache, port, originPort));
  const child = Bun.spawn([executable, "-p", directory, "-c", join(directory, "nginx.conf")], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  const url = `http://127.0.0.1:${port}`;
  const end = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.exited;
  };
  const deadline = performance.now() + READY_MS_MAX;
  while (!(await answers(url))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      await end();
      throw new Error(`nginx did not start: ${readFileSync(join(directory, "error.log"), "utf8")}`);
    }
    await Bun.sleep(20);
  }
  return { url, poison: () => poisonFiles(cache), [Symbol.asyncDispose]: end };
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/ready`);
    await response.arrayBuffer();
    return response.ok;
  } catch (error) {
    if (error instanceof Error) return false;
    throw error;
  }
}

/** Objects are kept whole and answered in ranges; of what the origin refuses nothing is kept. */
function configuration(directory: string, cache: string, port: number, originPort: number): string {
  return `
daemon off;
master_process off;
pid ${directory}/pid;
error_log ${directory}/error.log;
events {}
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  proxy_cache_path ${cache} keys_zone=objects:4m max_size=1g inactive=1d;
  server {
    listen 127.0.0.1:${port};
    location = /ready { return 204; }
    location / {
      proxy_pass http://127.0.0.1:${originPort};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Authorization "";
      proxy_cache objects;
      proxy_cache_key $request_uri;
      proxy_cache_valid 200 1d;
      proxy_cache_lock on;
      proxy_ignore_headers Vary Cache-Control Expires Set-Cookie;
    }
  }
}
`;
}

function poisonFiles(cache: string): number {
  const files = readdirSync(cache, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  for (const { parentPath, name } of files) {
    const file = join(parentPath, name);
    const bytes = readFileSync(file);
    // nginx's own header and the answer's come first.
    const body = bytes.indexOf("\r\n\r\n") + 4;
    const at = body + ((bytes.length - body) >> 1);
    bytes[at] = bytes[at]! ^ 1;
    writeFileSync(file, bytes);
  }
  return files.length;
}
