/**
 * `npm run test:real`: the built binary against software that others made. Each part brings what it needs, or says
 * what is missing and fails. Last line: `N passed, N failed`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serve } from "../bench/server.ts";
import { Checks } from "./checks.ts";
import { curlSession } from "./curl-session.ts";
import { grpcSession } from "./grpc-session.ts";

const checks = new Checks();
const directory = mkdtempSync(join(tmpdir(), "mic-real-"));
try {
  await using server = await serve({ data: join(directory, "data") });
  await checks.part("a session over gRPC with grpcurl", () => grpcSession(server, checks));
  await checks.part("a session over REST with curl", () => curlSession(server, checks));
  checks.expect("the server ends when it is told to", await server.stop(), 0);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
console.log(`\n${checks.summary}`);
process.exitCode = checks.failed === 0 ? 0 : 1;
