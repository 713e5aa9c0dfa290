/** Uploads: memory is taken from a budget before it is used, and a sender that stops does not keep it. */
import { MicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import { INLINE_CONTENT_BYTES_MAX } from "../../core/base/limits.ts";
import type { MethodCall, Requests } from "./method.ts";

/** A sender of which nothing comes for this long loses its upload. */
const IDLE_MS_MAX = 60_000;
/** A request of up to this much is not counted. */
const UNCOUNTED_BYTES_MAX = 256 << 10;
/** For a larger one: content, and operations beside it. */
const REQUEST_BYTES = 2 * INLINE_CONTENT_BYTES_MAX;

/** Memory for an upload of at most `bytes`. */
export function takeUploadMemory(call: MethodCall, bytes: number): Promise<Disposable> {
  return call.state.uploads.take(bytes, call.signal);
}

/** Collects the messages of a stream; knows the project once it has the first. */
interface ProjectReader {
  readonly project: string | undefined;
  add(request: Uint8Array): void;
}

/**
 * Reads all requests once the first has shown that the caller may send them, and holds memory where they are more than
 * a little: to be given back. Errors: those of `MethodCall.project`.
 */
export async function readProjectUpload(
  call: MethodCall,
  requests: Requests<Uint8Array>,
  reader: ProjectReader,
): Promise<{ readonly project: ProjectId; readonly memory: Disposable | undefined }> {
  let project: ProjectId | undefined;
  let bytes = 0;
  let memory: Disposable | undefined;
  try {
    for await (const request of withoutIdling(requests[Symbol.asyncIterator]())) {
      bytes += request.length;
      // Taken once: calls that each hold some and wait for more would wait for each other.
      if (bytes > UNCOUNTED_BYTES_MAX) memory ??= await takeUploadMemory(call, REQUEST_BYTES);
      reader.add(request);
      project ??= await call.project(reader.project ?? "");
    }
    project ??= await call.project(reader.project ?? "");
  } catch (error) {
    memory?.[Symbol.dispose]();
    throw error;
  }
  return { project, memory };
}

/** The first request of a stream, and the rest. Errors: `usage` for a stream without any. */
export async function takeFirst<T>(
  requests: Requests<T>,
): Promise<{ readonly first: T; readonly rest: AsyncIterator<T> }> {
  const rest = requests[Symbol.asyncIterator]();
  const next = await nextWithin(rest, IDLE_MS_MAX);
  if (next.done === true) throw new MicError("usage", "the call has no request");
  return { first: next.value, rest };
}

/** Errors: `unreachable` when no request comes in time, and those of the requests. */
export async function* withoutIdling<T>(
  requests: AsyncIterator<T>,
  idleMsMax = IDLE_MS_MAX,
): AsyncGenerator<T> {
  for (;;) {
    const next = await nextWithin(requests, idleMsMax);
    if (next.done === true) return;
    yield next.value;
  }
}

export function nextWithin<T>(requests: AsyncIterator<T>, timeMs = IDLE_MS_MAX): Promise<IteratorResult<T>> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new MicError("unreachable", `nothing came for ${timeMs / 1000} s`, { hint: "upload it again" }));
    }, timeMs);
    requests
      .next()
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}
