/** Content on its way to a landing: inline while it is small, as packs of its own beyond that. */
import type { PackId } from "../base/ids.ts";
import { INLINE_CONTENT_BYTES_MAX, PACK_TARGET_BYTES } from "../base/limits.ts";
import { encodePack } from "../codec/pack.ts";
import type { Forge } from "../forge/forge.ts";
import type { Frame } from "../objects/frame.ts";
import { callOptions } from "./base-changes.ts";
import type { LocalPackWriter } from "./local-objects.ts";
import type { Workspace } from "./workspace.ts";

export class ContentUpload {
  readonly packs: PackId[] = [];
  readonly #ws: Workspace;
  readonly #forge: Forge;
  #frames: Frame[] = [];
  #bytes = 0;
  #uploadedBytes = 0;
  readonly #local: LocalPackWriter | undefined;

  constructor(ws: Workspace, forge: Forge) {
    this.#ws = ws;
    this.#forge = forge;
    // Behind a network: what is landed is kept here too, so that it can be read without it.
    this.#local = ws.inDirectory ? undefined : ws.objects.writer("received");
  }

  /** Frames that travel with the landing itself. */
  get inline(): readonly Frame[] {
    return this.#frames;
  }

  /** Resolves when there is room for more. */
  add(frame: Frame): void | Promise<void> {
    this.#local?.add(frame);
    this.#frames.push(frame);
    this.#bytes += frame.stored.length;
    if (this.#bytes >= PACK_TARGET_BYTES) return this.#upload();
  }

  async finish(): Promise<void> {
    if (this.#bytes > INLINE_CONTENT_BYTES_MAX) await this.#upload();
  }

  /** Makes the landed content readable from `.mic/objects`. */
  keep(): void {
    this.#local?.finish();
  }

  async #upload(): Promise<void> {
    const { bytes } = encodePack(this.#frames);
    this.#frames = [];
    this.#bytes = 0;
    this.packs.push(await this.#forge.putPack(this.#ws.settings.project, bytes, callOptions(this.#ws)));
    this.#uploadedBytes += bytes.length;
    this.#ws.context.onProgress?.({ task: "uploading", done: this.#uploadedBytes, total: 0, unit: "bytes" });
  }
}
