/** The same session over REST with curl. */
import { execFileSync } from "node:child_process";
import type { ServedForge } from "../bench/server.ts";
import type { Checks } from "./checks.ts";

const PROJECT = "acme%2Fby-curl";

interface Reply {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: documents of every shape
  readonly json: any;
}

export function curlSession(server: ServedForge, checks: Checks): void {
  const call = (method: string, path: string, body?: object | string): Reply => {
    const type = typeof body === "object" ? "application/json" : "application/octet-stream";
    const data = typeof body === "object" ? JSON.stringify(body) : body;
    const output = execFileSync(
      "curl",
      [
        ...["-sS", "-X", method, "-w", "\n%{http_code}", "-H", `authorization: Bearer ${server.token}`],
        ...(data === undefined ? [] : ["-H", `content-type: ${type}`, "--data-binary", "@-"]),
        `${server.url}/api/mic/projects${path}`,
      ],
      { input: data ?? "", encoding: "utf8" },
    );
    const line = output.lastIndexOf("\n");
    const text = output.slice(0, line);
    return { status: Number(output.slice(line + 1)), json: text.startsWith("{") ? JSON.parse(text) : text };
  };
  const start = (goal: string, base: number): string =>
    call("POST", `/${PROJECT}/sessions`, { goal, base }).json.id;
  const put = (session: string, path: string, text: string): Reply => {
    const stored = call("POST", `/${PROJECT}/blobs`, text).json;
    const operations = [{ op: "put", path, kind: "file", ...stored }];
    return call("POST", `/${PROJECT}/sessions/${session}/operations`, { operations });
  };

  checks.expect("create", call("POST", "", { name: "acme/by-curl" }), {
    status: 201,
    json: { name: "acme/by-curl" },
  });
  const session = start("Say hello", 0);
  const at = `/${PROJECT}/sessions/${session}`;
  checks.expect("upload, operations", put(session, "hello.txt", "hello over REST\n").status, 200);
  checks.expect("decision", call("POST", `${at}/decisions`, { text: "in English" }).status, 200);
  const messages = [{ role: "user", text: "say hello" }];
  checks.expect("conversation", call("POST", `${at}/conversation`, { messages }).status, 200);
  checks.expect("land", call("POST", `${at}/land`, { agent: "curl" }), {
    status: 200,
    json: { position: 1 },
  });
  checks.expect("read", call("GET", `/${PROJECT}/files/hello.txt`), {
    status: 200,
    json: "hello over REST\n",
  });
  const [first, second] = [start("one", 1), start("two", 1)];
  put(first, "hello.txt", "one\n");
  put(second, "hello.txt", "two\n");
  checks.expect("land first", call("POST", `/${PROJECT}/sessions/${first}/land`, {}).status, 200);
  checks.expect("a conflict", call("POST", `/${PROJECT}/sessions/${second}/land`, {}), {
    status: 409,
    json: { code: "conflict", paths: ["hello.txt"] },
  });
  const abandoned = call("POST", `/${PROJECT}/sessions/${second}/abandon`, {});
  checks.expect("abandon", abandoned, { status: 200, json: { state: "abandoned" } });
}
