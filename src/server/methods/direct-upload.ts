/** Uploads that go to the store directly: their start and their end go through here. */
import { MicError } from "../../core/base/errors.ts";
import type { PackId, ProjectId } from "../../core/base/ids.ts";
import { uploadSize } from "../../core/forge/content/direct-transfer.ts";
import type { UploadPlace } from "../../core/forge/forge.ts";
import type { MethodCall } from "./method.ts";
import { takeUploadMemory } from "./upload.ts";

/** `undefined`: the store takes nothing directly. */
export async function startUpload(
  { context, signal }: MethodCall,
  project: ProjectId,
  size: number,
): Promise<UploadPlace | undefined> {
  return await context.forge.startUpload?.(project, size, { signal });
}

export async function finishUpload(call: MethodCall, project: ProjectId, upload: string): Promise<PackId> {
  const { forge } = call.context;
  if (forge.finishUpload === undefined) {
    throw new MicError("unsupported", "this server takes no uploads past itself", { hint: "upload it here" });
  }
  using _memory = await takeUploadMemory(call, uploadSize(upload));
  return await forge.finishUpload(project, upload, { signal: call.signal });
}
