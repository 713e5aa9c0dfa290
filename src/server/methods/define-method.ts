/** Makes methods of the generated definitions: they name the service, the method and its streams. */
import { decodeMessage, type MessageType } from "../../core/wire/common.ts";
import { MESSAGE_BYTES_MAX } from "../../core/wire/framing.ts";
import type { Access } from "../auth/access.ts";
import type { Answer, Encoded, Method, MethodCall, Requests } from "./method.ts";

interface AnyMessageType {
  encode(message: never): unknown;
  decode(bytes: Uint8Array): unknown;
}

interface MethodDefinition {
  readonly name: string;
  readonly requestType: AnyMessageType;
  readonly responseType: AnyMessageType;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

interface ServiceDefinition {
  readonly fullName: string;
  readonly methods: Readonly<Record<string, MethodDefinition>>;
}

type MessageOf<Type extends AnyMessageType> = ReturnType<Type["decode"]>;

/** What a method does, on generated messages. */
export type Run<Definition extends MethodDefinition> = (
  request: Definition["requestStream"] extends true
    ? Requests<MessageOf<Definition["requestType"]>>
    : MessageOf<Definition["requestType"]>,
  call: MethodCall,
) => Definition["responseStream"] extends true
  ? AsyncIterable<MessageOf<Definition["responseType"]>>
  : Promise<MessageOf<Definition["responseType"]>>;

interface Limits {
  readonly callsMax?: number;
  /** Default: MESSAGE_BYTES_MAX. */
  readonly requestBytesMax?: number;
}

type AnyRun = (request: never, call: MethodCall) => unknown;
type Decode = (bytes: Uint8Array) => unknown;
type Encode = (response: never) => Encoded;

/** A method with messages of its own types: the generated ones cost too much. */
interface Tuned extends Limits {
  readonly tuned: AnyRun;
  readonly decode?: Decode;
  readonly encode?: Encode;
}

/** One handler for each method of the service. */
export type ServiceHandlers<Service extends ServiceDefinition> = {
  readonly [Name in keyof Service["methods"]]:
    | Run<Service["methods"][Name]>
    | (Limits & { readonly run: Run<Service["methods"][Name]> })
    | Tuned;
};

type HandlerFields = (Limits & { readonly run: AnyRun }) | Tuned;

/** What each method of the service asks of its caller. */
type ServiceAccess<Service extends ServiceDefinition> = {
  readonly [Name in keyof Service["methods"]]: Access;
};

interface TunedCodec<Request, Response> extends Limits {
  readonly decode: (bytes: Uint8Array) => Request;
  readonly encode: (response: Response) => Encoded;
}

export function tunedStream<Request, Response>(
  codec: TunedCodec<Request, Response>,
  run: (request: Request, call: MethodCall) => AsyncIterable<Response>,
): Tuned {
  return { ...codec, tuned: run };
}

/** Its requests stay bytes; the answer is a generated message. */
export function tunedUpload<Response>(
  limits: Limits,
  run: (requests: Requests<Uint8Array>, call: MethodCall) => Promise<Response>,
): Tuned {
  return { ...limits, tuned: run, decode: asIs };
}

export function methodsOf<Service extends ServiceDefinition>(
  service: Service,
  access: ServiceAccess<Service>,
  handlers: ServiceHandlers<Service>,
): Method[] {
  return Object.entries(service.methods).map(([key, definition]) => {
    const handler = handlers[key as keyof Service["methods"]];
    const fields = (typeof handler === "function" ? { run: handler } : handler) as HandlerFields;
    return makeMethod(service, definition, access[key as keyof Service["methods"]], fields);
  });
}

function makeMethod(
  service: ServiceDefinition,
  definition: MethodDefinition,
  access: Access,
  handler: HandlerFields,
): Method {
  const { name, requestStream, responseStream } = definition;
  const isTuned = "tuned" in handler;
  const decode = (isTuned ? handler.decode : undefined) ?? generatedDecoder(definition);
  const encode = (isTuned ? handler.encode : undefined) ?? generatedEncoder(definition);
  const run = isTuned ? handler.tuned : handler.run;
  return {
    path: `/${service.fullName}/${name}`,
    service: service.fullName,
    name,
    access,
    requestStream,
    responseStream,
    ...(handler.callsMax === undefined ? {} : { callsMax: handler.callsMax }),
    requestBytesMax: handler.requestBytesMax ?? MESSAGE_BYTES_MAX,
    answer: answerOf(definition, run, decode, encode),
  };
}

function answerOf(
  { requestStream, responseStream }: MethodDefinition,
  run: AnyRun,
  decode: Decode,
  encode: Encode,
): Answer {
  const start = run as (request: unknown, call: MethodCall) => never;
  if (requestStream) {
    return {
      kind: "client-stream",
      run: async (requests, call) =>
        encode(await start(decode === asIs ? requests : decodeEach(requests, decode), call)),
    };
  }
  if (responseStream) {
    return {
      kind: "server-stream",
      run: (request, call) => encodeEach(start(decode(request), call), encode),
    };
  }
  return { kind: "unary", run: async (request, call) => encode(await start(decode(request), call)) };
}

function asIs(bytes: Uint8Array): Uint8Array {
  return bytes;
}

async function* decodeEach(requests: Requests<Uint8Array>, decode: Decode): AsyncGenerator<unknown> {
  for await (const request of requests) yield decode(request);
}

async function* encodeEach(responses: AsyncIterable<never>, encode: Encode): AsyncGenerator<Encoded> {
  for await (const response of responses) yield encode(response);
}

function generatedDecoder({ requestType }: MethodDefinition): Decode {
  const type = requestType as MessageType<unknown>;
  return (bytes) => decodeMessage(type, bytes);
}

function generatedEncoder({ responseType }: MethodDefinition): Encode {
  const type = responseType as MessageType<never>;
  return (response) => type.encode(response).finish();
}
