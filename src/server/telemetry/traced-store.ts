/** A store whose operations are spans of the call that needs them. What a batch does is its first call's. */
import type { ObjectStore } from "../../core/store/object-store.ts";
import type { Tracer } from "./tracer.ts";

const TRACED = ["get", "revalidate", "put", "commit", "list", "delete"] as const;

type Operation = (...args: readonly unknown[]) => Promise<unknown>;

/** Everything else of the store stays as it is. */
export function tracedStore<Store extends ObjectStore>(store: Store, tracer: Tracer): Store {
  const methods = new Map<string | symbol, unknown>();
  for (const name of TRACED) {
    // Looked up at each call: a server exchanges some of them while it starts.
    const operation: Operation = (...args) => (store[name] as Operation).apply(store, args as unknown[]);
    methods.set(name, (...args: readonly unknown[]) => traced(tracer, name, operation, args));
  }
  return new Proxy(store, {
    get(target, name) {
      const known = methods.get(name);
      if (known !== undefined) return known;
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      const bound: unknown = value.bind(target);
      methods.set(name, bound);
      return bound;
    },
  });
}

async function traced(
  tracer: Tracer,
  name: (typeof TRACED)[number],
  operation: Operation,
  args: readonly unknown[],
): Promise<unknown> {
  const { current } = tracer;
  if (current === undefined || current.isEnded) return await operation(...args);
  const span = current.child(`store ${name}`, "client");
  if (typeof args[0] === "string") span?.set("mic.store.key", args[0]);
  current.add("mic.store.operations", 1);
  try {
    return await operation(...args);
  } catch (error) {
    span?.fail(error instanceof Error ? error.message : String(error));
    throw error;
  } finally {
    span?.end();
  }
}
