/** Randomness as a port. */
import { bytesToHex } from "./bytes.ts";
import type { LandingId, ProjectId, SessionId } from "./ids.ts";

export interface Random {
  /** `count` unpredictable bytes. */
  bytes(count: number): Uint8Array;
}

/** Uniform in [0, 1), from 32 bits. */
export function randomFraction(random: Random): number {
  const bytes = random.bytes(4);
  return ((bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24)) >>> 0) / 2 ** 32;
}

/** Full-jitter backoff: uniform in [0, min(capMs, baseMs · 2^attempt)). */
export function jitterMs(random: Random, attempt: number, baseMs: number, capMs: number): number {
  return randomFraction(random) * Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30));
}

export function mintLandingId(random: Random): LandingId {
  return bytesToHex(random.bytes(16)) as LandingId;
}
export function mintSessionId(random: Random): SessionId {
  return bytesToHex(random.bytes(16)) as SessionId;
}
export function mintProjectId(random: Random): ProjectId {
  return bytesToHex(random.bytes(16)) as ProjectId;
}
