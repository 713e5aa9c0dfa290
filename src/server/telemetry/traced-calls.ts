/** A span for each call, over HTTP/1.1 and gRPC. Attributes by OpenTelemetry's conventions for both. */
import { type Metadata, type ServerInterceptingCall, type ServerInterceptor, status } from "@grpc/grpc-js";
import type { HttpHandler } from "../port/http1.ts";
import { callerOf } from "./call-notes.ts";
import { traceHeaders } from "./trace-context.ts";
import type { Span, Tracer } from "./tracer.ts";

const GRPC_PATH = /^\/([a-z0-9]{1,20}(?:\.\w{1,40}){1,4})\/(\w{1,40})$/;

/** `endpointOf`: the endpoint's name, with ids and names left out. Queries may hold secrets and are not looked at. */
export function tracedHttp(
  handler: HttpHandler,
  tracer: Tracer,
  endpointOf: (method: string, url: string) => string,
): HttpHandler {
  return (request, response) => {
    const { headers, method = "", url = "" } = request;
    const span = tracer.start(
      method,
      "server",
      headers["traceparent"]?.toString(),
      headers["tracestate"]?.toString(),
    );
    if (!span.isSampled) {
      handler(request, response);
      return;
    }
    // Where the request is passed on to another server, this span is the parent there.
    Object.assign(headers, traceHeaders(span.context));
    const endpoint = endpointOf(method, url);
    span.rename(`${method} ${endpoint}`);
    span.set("http.request.method", method);
    span.set("http.route", endpoint);
    span.set("user_agent.original", headers["user-agent"]?.slice(0, 256));
    setRpc(span, endpoint);
    response.once("close", () => {
      const { statusCode } = response;
      span.set("http.response.status_code", statusCode);
      span.set("enduser.id", callerOf(request)?.account || undefined);
      if (statusCode >= 500) span.fail(`answered ${statusCode}`);
      else if (!response.writableFinished) span.set("mic.cut", true);
      span.end();
    });
    tracer.run(span, () => handler(request, response));
  };
}

function setRpc(span: Span, path: string): void {
  const match = GRPC_PATH.exec(path);
  if (match === null) return;
  span.set("rpc.system", "grpc");
  span.set("rpc.service", match[1]);
  span.set("rpc.method", match[2]);
}

/** Before the interceptor that authenticates: what it refuses has a span, too. */
export function tracedGrpc(tracer: Tracer): ServerInterceptor {
  return (definition, call) => {
    // Each call passes here: the given object is changed rather than wrapped.
    const intercepted = call as ServerInterceptingCall;
    let span: Span | undefined;
    const sendStatus = intercepted.sendStatus.bind(intercepted);
    intercepted.sendStatus = (sent) => {
      const code = sent.code ?? status.UNKNOWN;
      span?.set("rpc.grpc.status_code", code);
      span?.set("enduser.id", callerOf(intercepted)?.account || undefined);
      if (SERVER_ERRORS.has(code)) span?.fail(status[code] ?? "UNKNOWN");
      sendStatus(sent);
      span?.end();
    };
    const start = intercepted.start.bind(intercepted);
    intercepted.start = (listener) => {
      const inSpan = <Args extends readonly unknown[]>(listen: (...args: Args) => void) => {
        return (...args: Args): void => {
          if (span === undefined || !span.isSampled) listen(...args);
          else tracer.run(span, () => listen(...args));
        };
      };
      const { onReceiveMetadata, onReceiveMessage, onReceiveHalfClose, onCancel } = bound(listener);
      const begin = inSpan(onReceiveMetadata);
      listener.onReceiveMetadata = (metadata) => {
        span = tracer.start(
          definition.path.slice(1),
          "server",
          first(metadata, "traceparent"),
          first(metadata, "tracestate"),
        );
        setRpc(span, definition.path);
        begin(metadata);
      };
      listener.onReceiveMessage = inSpan(onReceiveMessage);
      listener.onReceiveHalfClose = inSpan(onReceiveHalfClose);
      listener.onCancel = () => {
        span?.set("mic.cut", true);
        onCancel();
        span?.end();
      };
      start(listener);
    };
    return intercepted;
  };
}

/** What is the server's own fault (OpenTelemetry, RPC conventions for servers). */
const SERVER_ERRORS: ReadonlySet<number> = new Set([
  status.UNKNOWN,
  status.DEADLINE_EXCEEDED,
  status.UNIMPLEMENTED,
  status.INTERNAL,
  status.UNAVAILABLE,
  status.DATA_LOSS,
]);

type Listener = Parameters<ServerInterceptingCall["start"]>[0];

function bound(listener: Listener): Listener {
  return {
    onReceiveMetadata: listener.onReceiveMetadata.bind(listener),
    onReceiveMessage: listener.onReceiveMessage.bind(listener),
    onReceiveHalfClose: listener.onReceiveHalfClose.bind(listener),
    onCancel: listener.onCancel.bind(listener),
  };
}

function first(metadata: Metadata, name: string): string | undefined {
  return metadata.get(name)[0]?.toString();
}
