/** A port with a handler and a small gRPC service of its own, for tests of what the port itself does. */
import {
  type ClientUnaryCall,
  credentials,
  makeClientConstructor,
  Server,
  type ServiceError,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { ServerMetrics } from "../../src/server/metrics.ts";
import { GrpcPort, grpcServerOptions } from "../../src/server/port/grpc-port.ts";
import type { HttpHandler } from "../../src/server/port/http1.ts";
import { PORT_LIMITS, type PortLimits } from "../../src/server/port/limits.ts";
import { Port, type TlsFiles } from "../../src/server/port/port.ts";

const asIs = (bytes: Buffer): Buffer => bytes;
const UNARY = {
  requestStream: false,
  responseStream: false,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
};
const SERVICE = { Echo: { path: "/test.Test/Echo", ...UNARY }, Wait: { path: "/test.Test/Wait", ...UNARY } };
/** How long `Wait` takes. */
export const WAIT_MS = 300;

export interface TestPort extends AsyncDisposable {
  readonly port: Port;
  readonly metrics: ServerMetrics;
}

export async function openTestPort(
  handler: HttpHandler,
  limits: Partial<PortLimits> = {},
  tls?: TlsFiles,
): Promise<TestPort> {
  const all = { ...PORT_LIMITS, ...limits };
  const metrics = new ServerMetrics({ connections: () => port.connections, calls: () => port.calls }, 0);
  const grpc = new Server(grpcServerOptions(all, metrics));
  grpc.addService(SERVICE, {
    Echo: (call: { request: Buffer }, answer: (error: null, value: Buffer) => void) =>
      answer(null, call.request),
    Wait: (call: { request: Buffer }, answer: (error: null, value: Buffer) => void) =>
      setTimeout(() => answer(null, call.request), WAIT_MS),
  } as unknown as UntypedServiceImplementation);
  const port: Port = await Port.listen({
    host: "127.0.0.1",
    port: 0,
    tls,
    limits: all,
    metrics,
    handler,
    onAnswered: ({ url }, { statusCode }, seconds) => metrics.request(url!, String(statusCode), seconds),
    http2: new GrpcPort(grpc, all, metrics),
  });
  return {
    port,
    metrics,
    async [Symbol.asyncDispose]() {
      port.close();
      grpc.forceShutdown();
    },
  };
}

export interface TestClient extends Disposable {
  call(method: "Echo" | "Wait", text: string): Promise<string>;
}

export function openTestClient(port: number, ca?: Buffer): TestClient {
  const Client = makeClientConstructor(SERVICE, "test.Test");
  const client = new Client(
    `localhost:${port}`,
    ca === undefined ? credentials.createInsecure() : credentials.createSsl(ca),
  );
  const methods = client as unknown as Record<
    string,
    (request: Buffer, answer: (error: ServiceError | null, value?: Buffer) => void) => ClientUnaryCall
  >;
  return {
    call: (method, text) =>
      new Promise((resolve, reject) => {
        methods[method]!.call(client, Buffer.from(text), (error, value) =>
          error === null ? resolve(String(value)) : reject(error),
        );
      }),
    [Symbol.dispose]: () => client.close(),
  };
}
