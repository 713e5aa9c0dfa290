/** Every service over real gRPC. */
import type { Server, ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import type { ServerContext } from "../context.ts";
import { allMethods } from "../methods/all-methods.ts";
import { FAILED_PRICE } from "../network/gate.ts";
import { priceOfMethod } from "../network/prices.ts";
import { authenticator, toDefinition, toHandler } from "./calls.ts";
import { createHealth, HEALTH_METHODS } from "./health.ts";
import { configureServer } from "./internals.ts";
import { createReflection, REFLECTION_SERVICES, reflectionMethods } from "./reflection.ts";

const HEALTH_SERVICE = "grpc.health.v1.Health";

type MethodShapes = Readonly<Record<string, Parameters<typeof toDefinition>[0]>>;

/** Before the server listens: it is also given its limits and windows. */
export function addGrpcServices(server: Server, context: ServerContext): void {
  const methodsOfApi = allMethods();
  const access = new Map(methodsOfApi.map((method) => [method.path, method.access]));
  const prices = new Map(methodsOfApi.map((method) => [method.path, priceOfMethod(method)]));
  // Of what else there is (reflection, and what does not exist) nothing is said to nobody.
  configureServer(
    server,
    authenticator(
      context,
      (path) => access.get(path) ?? "signed-in",
      (path) => prices.get(path) ?? FAILED_PRICE,
    ),
  );
  const services = new Map<string, { methods: MethodShapes; handlers: UntypedServiceImplementation }>();
  for (const method of methodsOfApi) {
    const { methods, handlers } = services.get(method.service) ?? { methods: {}, handlers: {} };
    services.set(method.service, {
      methods: { ...methods, [method.name]: method },
      handlers: { ...handlers, [method.name]: toHandler(method, context) },
    });
  }
  const own = [...services.keys()];
  const listed = [...own, HEALTH_SERVICE, ...REFLECTION_SERVICES];
  for (const { methods, handlers } of services.values()) {
    server.addService(toServiceDefinition(methods), handlers);
  }
  server.addService(toServiceDefinition(HEALTH_METHODS), createHealth(context, new Set(own)));
  for (const service of REFLECTION_SERVICES) {
    server.addService(toServiceDefinition(reflectionMethods(service)), createReflection(context, listed));
  }
}

function toServiceDefinition(methods: MethodShapes): ServiceDefinition {
  return Object.fromEntries(Object.entries(methods).map(([name, method]) => [name, toDefinition(method)]));
}
