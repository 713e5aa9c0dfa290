/**
 * `grpc.health.v1.Health`: SERVING for the server ("") and each of its services, NOT_SERVING once it drains. Public:
 * whoever balances load has no token.
 */
import type { handleServerStreamingCall, handleUnaryCall, UntypedServiceImplementation } from "@grpc/grpc-js";
import { asBuffer } from "../../core/base/bytes.ts";
import { MicError } from "../../core/base/errors.ts";
import { decodeMessage, encodeMessage } from "../../core/wire/common.ts";
import {
  HealthCheckRequest,
  HealthCheckResponse,
  HealthCheckResponse_ServingStatus as Status,
} from "../../core/wire/gen/grpc/health/v1/health.ts";
import type { ServerContext } from "../context.ts";
import { shuttingDown } from "../methods/live.ts";
import { toStatus } from "./calls.ts";

const CHECK = "/grpc.health.v1.Health/Check";
const WATCH = "/grpc.health.v1.Health/Watch";
/** Anybody may open one. */
const WATCHERS_MAX = 1000;

export const HEALTH_METHODS = {
  check: { path: CHECK, requestStream: false, responseStream: false },
  watch: { path: WATCH, requestStream: false, responseStream: true },
} as const;

export function createHealth(
  context: ServerContext,
  services: ReadonlySet<string>,
): UntypedServiceImplementation {
  const { draining } = context;
  let watchers = 0;
  const answer = (request: Buffer): Buffer => {
    const { service } = decodeMessage(HealthCheckRequest, request);
    if (service !== "" && !services.has(service)) {
      throw new MicError("not-found", `there is no service ${JSON.stringify(service.slice(0, 100))}`);
    }
    return encodeStatus(draining.aborted ? Status.NOT_SERVING : Status.SERVING);
  };
  const check: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    try {
      callback(null, answer(call.request));
    } catch (error) {
      callback(toStatus(error, context, CHECK));
    }
  };
  const watch: handleServerStreamingCall<Buffer, Buffer> = (call) => {
    let first: Buffer;
    try {
      if (watchers >= WATCHERS_MAX) throw new MicError("unreachable", "too many watch the server's health");
      first = watchedStatus(call.request, answer);
    } catch (error) {
      call.emit("error", toStatus(error, context, WATCH));
      return;
    }
    watchers++;
    const end = (): void => {
      call.write(encodeStatus(Status.NOT_SERVING));
      call.emit("error", toStatus(shuttingDown(), context, WATCH));
    };
    call.once("cancelled", () => {
      watchers--;
      draining.removeEventListener("abort", end);
    });
    if (draining.aborted) {
      end();
      return;
    }
    call.write(first);
    draining.addEventListener("abort", end, { once: true });
  };
  return { check, watch };
}

/** A service that is not known may be added later: its watcher is told so and stays. */
function watchedStatus(request: Buffer, answer: (request: Buffer) => Buffer): Buffer {
  try {
    return answer(request);
  } catch (error) {
    if (error instanceof MicError && error.code === "not-found") return encodeStatus(Status.SERVICE_UNKNOWN);
    throw error;
  }
}

function encodeStatus(status: Status): Buffer {
  return asBuffer(encodeMessage(HealthCheckResponse, { status }));
}
