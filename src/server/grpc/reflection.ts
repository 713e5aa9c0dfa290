/**
 * `grpc.reflection.v1` and `v1alpha`, which differ in name only: how grpcurl and generated clients learn the API
 * from the server. Answers from descriptors inside the program; nothing is read from files.
 */
import type { ServerDuplexStream, UntypedServiceImplementation } from "@grpc/grpc-js";
import { asBuffer } from "../../core/base/bytes.ts";
import { decodeMessage, encodeMessage } from "../../core/wire/common.ts";
import {
  ServerReflectionRequest,
  ServerReflectionResponse,
} from "../../core/wire/gen/grpc/reflection/v1/reflection.ts";
import { GRPC } from "../../core/wire/status.ts";
import type { ServerContext } from "../context.ts";
import { interrupted } from "../methods/failure.ts";
import { shuttingDown } from "../methods/live.ts";
import { toStatus } from "./calls.ts";
import { type DescriptorFile, type Descriptors, readDescriptors } from "./descriptors.ts";
import { readOneAhead } from "./internals.ts";

const METHOD = "ServerReflectionInfo";
export const REFLECTION_SERVICES = [
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
] as const;

export function reflectionMethods(service: string) {
  return { info: { path: `/${service}/${METHOD}`, requestStream: true, responseStream: true } } as const;
}

type Answer = NonNullable<ServerReflectionResponse["messageResponse"]>;

/** Shared by every server of the process. */
let descriptors: Promise<Descriptors> | undefined;

export function loadDescriptors(): Promise<Descriptors> {
  descriptors ??= import("../../core/wire/gen/descriptors.ts").then(({ DESCRIPTOR_SET }) =>
    readDescriptors(Buffer.from(DESCRIPTOR_SET, "base64")),
  );
  return descriptors;
}

export function createReflection(
  context: ServerContext,
  services: readonly string[],
): UntypedServiceImplementation {
  return {
    info: async (call: ServerDuplexStream<Buffer, Buffer>) => {
      const { draining } = context;
      const drain = (): void => {
        call.emit("error", toStatus(shuttingDown(), context, METHOD));
      };
      draining.addEventListener("abort", drain, { once: true });
      try {
        readOneAhead(call);
        const loaded = await loadDescriptors();
        // A file is sent once in a stream.
        const sent = new Set<string>();
        // Plain iteration would destroy the stream at its end, and with it the answers.
        for await (const bytes of call.iterator({ destroyOnReturn: false })) {
          const request = decodeMessage(ServerReflectionRequest, bytes as Buffer);
          const messageResponse = answerTo(request, loaded, services, sent);
          const response = { validHost: request.host, originalRequest: request, messageResponse };
          await write(call, asBuffer(encodeMessage(ServerReflectionResponse, response)));
        }
        call.end();
      } catch (error) {
        if (!call.cancelled && !draining.aborted) call.emit("error", toStatus(error, context, METHOD));
      } finally {
        draining.removeEventListener("abort", drain);
      }
    },
  };
}

function write(call: ServerDuplexStream<Buffer, Buffer>, message: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(interrupted());
    call.once("cancelled", stop);
    call.write(message, () => {
      call.off("cancelled", stop);
      resolve();
    });
  });
}

function answerTo(
  { messageRequest }: ServerReflectionRequest,
  { files, symbols }: Descriptors,
  services: readonly string[],
  sent: Set<string>,
): Answer {
  switch (messageRequest?.$case) {
    case "listServices":
      return {
        $case: "listServicesResponse",
        listServicesResponse: { service: services.map((name) => ({ name })) },
      };
    case "fileByFilename":
      return fileAnswer(files.get(messageRequest.fileByFilename), files, sent);
    case "fileContainingSymbol":
      return fileAnswer(symbols.get(messageRequest.fileContainingSymbol.replace(/^\./, "")), files, sent);
    case "fileContainingExtension":
    case "allExtensionNumbersOfType":
      return errorAnswer(GRPC.NOT_FOUND, "there are no extensions");
    case undefined:
      return errorAnswer(GRPC.INVALID_ARGUMENT, "the request asks for nothing");
  }
}

/** The file and what it imports, without those that were sent before. The file itself is always in the answer. */
function fileAnswer(
  file: DescriptorFile | undefined,
  files: ReadonlyMap<string, DescriptorFile>,
  sent: Set<string>,
): Answer {
  if (file === undefined) return errorAnswer(GRPC.NOT_FOUND, "there is no such file or symbol");
  sent.delete(file.name);
  const fileDescriptorProto: Uint8Array[] = [];
  const add = (wanted: DescriptorFile): void => {
    if (sent.has(wanted.name)) return;
    sent.add(wanted.name);
    fileDescriptorProto.push(wanted.bytes);
    for (const name of wanted.imports) {
      const imported = files.get(name);
      if (imported !== undefined) add(imported);
    }
  };
  add(file);
  return { $case: "fileDescriptorResponse", fileDescriptorResponse: { fileDescriptorProto } };
}

function errorAnswer(errorCode: number, errorMessage: string): Answer {
  return { $case: "errorResponse", errorResponse: { errorCode, errorMessage } };
}
