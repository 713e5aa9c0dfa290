/** A standard gRPC client that knows nothing but the address: it learns the API from the server's reflection. */
import * as grpc from "@grpc/grpc-js";
import { fromJSON, loadFileDescriptorSetFromBuffer } from "@grpc/proto-loader";
import { TOKEN } from "./wire-server.ts";

// biome-ignore lint/suspicious/noExplicitAny: a client that is made at run time has no types
export type Dynamic = any;

/** The public protocol, as every client has it: written here so that nothing of ours takes part. */
const REFLECTION = (name: string) => ({
  nested: {
    [name]: {
      nested: {
        ServerReflection: {
          methods: {
            ServerReflectionInfo: {
              requestType: "Request",
              requestStream: true,
              responseType: "Response",
              responseStream: true,
            },
          },
        },
        Request: {
          fields: {
            host: { type: "string", id: 1 },
            fileByFilename: { type: "string", id: 3 },
            fileContainingSymbol: { type: "string", id: 4 },
            fileContainingExtension: { type: "Extension", id: 5 },
            listServices: { type: "string", id: 7 },
          },
        },
        Extension: { fields: { containingType: { type: "string", id: 1 } } },
        Response: {
          fields: {
            fileDescriptorResponse: { type: "Files", id: 4 },
            listServicesResponse: { type: "Services", id: 6 },
            errorResponse: { type: "Failure", id: 7 },
          },
        },
        Files: { fields: { fileDescriptorProto: { rule: "repeated", type: "bytes", id: 1 } } },
        Services: { fields: { service: { rule: "repeated", type: "Service", id: 1 } } },
        Service: { fields: { name: { type: "string", id: 1 } } },
        Failure: {
          fields: { errorCode: { type: "int32", id: 1 }, errorMessage: { type: "string", id: 2 } },
        },
      },
    },
  },
});

export function metadata(token: string | undefined = TOKEN): grpc.Metadata {
  const made = new grpc.Metadata();
  if (token !== undefined) made.set("authorization", `Bearer ${token}`);
  return made;
}

export async function reflect(
  address: string,
  requests: readonly object[],
  options: { readonly version?: string; readonly token?: string | undefined } = {},
): Promise<Dynamic[]> {
  const version = options.version ?? "grpc.reflection.v1";
  const definition = fromJSON(REFLECTION(version) as Parameters<typeof fromJSON>[0], { keepCase: false });
  const Client = grpc.makeGenericClientConstructor(
    definition[`${version}.ServerReflection`] as grpc.ServiceDefinition,
    "ServerReflection",
  );
  const client: Dynamic = new Client(address, grpc.credentials.createInsecure());
  try {
    const token = "token" in options ? options.token : TOKEN;
    const stream = client["ServerReflectionInfo"](
      token === undefined ? new grpc.Metadata() : metadata(token),
    );
    for (const request of requests) stream.write(request);
    stream.end();
    const answers: Dynamic[] = [];
    for await (const answer of stream) answers.push(answer);
    return answers;
  } finally {
    client.close();
  }
}

/** Clients for the services of `mic.v1` and `grpc.health.v1`, made of the server's own descriptors. */
export async function dynamicClients(address: string): Promise<Readonly<Record<string, Dynamic>>> {
  const [listed] = await reflect(address, [{ listServices: "" }]);
  const names: string[] = listed.listServicesResponse.service.map(
    (service: { name: string }) => service.name,
  );
  const files = new Map<string, Buffer>();
  for (const answer of await reflect(
    address,
    names.map((name) => ({ fileContainingSymbol: name })),
  )) {
    for (const file of answer.fileDescriptorResponse.fileDescriptorProto as Buffer[]) {
      files.set(file.toString("latin1"), file);
    }
  }
  const set = Buffer.concat([...files.values()].map((file) => Buffer.concat([header(file.length), file])));
  const definition = loadFileDescriptorSetFromBuffer(set, { longs: Number, enums: String, bytes: Buffer });
  const clients: Record<string, Dynamic> = {};
  for (const name of names) {
    const Client = grpc.makeGenericClientConstructor(definition[name] as grpc.ServiceDefinition, name);
    clients[name] = new Client(address, grpc.credentials.createInsecure(), {
      "grpc.max_receive_message_length": 64 << 20,
    });
  }
  return clients;
}

/** Field 1, length-delimited. */
function header(length: number): Buffer {
  const bytes = [0x0a];
  for (let rest = length; ; rest >>>= 7) {
    if (rest < 0x80) {
      bytes.push(rest);
      return Buffer.from(bytes);
    }
    bytes.push((rest & 0x7f) | 0x80);
  }
}

export function unary(client: Dynamic, method: string, request: object, token?: string): Promise<Dynamic> {
  return new Promise((resolve, reject) => {
    client[method](request, metadata(token), (error: unknown, answer: unknown) =>
      error === null ? resolve(answer) : reject(error),
    );
  });
}

export function upload(client: Dynamic, method: string, requests: readonly object[]): Promise<Dynamic> {
  return new Promise((resolve, reject) => {
    const call = client[method](metadata(), (error: unknown, answer: unknown) =>
      error === null ? resolve(answer) : reject(error),
    );
    for (const request of requests) call.write(request);
    call.end();
  });
}

export async function collectStream(call: Dynamic): Promise<Dynamic[]> {
  const answers: Dynamic[] = [];
  for await (const answer of call) answers.push(answer);
  return answers;
}
