/** Content on its way to a landing: inline while it is small, as packs of its own beyond that. */
import type { PackId } from "../../base/ids.ts";
import { INLINE_CONTENT_BYTES_MAX } from "../../base/limits.ts";
import type { Forge } from "../../forge/forge.ts";
import type { Frame } from "../../objects/frame.ts";
import { PackStream } from "../../objects/pack-stream.ts";
import type { LocalPackWriter } from "../content/local-objects.ts";
import { callOptions } from "../context.ts";
import type { Workspace } from "../workspace.ts";

/** A server stores one pack while the next is on its way. */
const UPLOADS_AT_ONCE = 2;

export class ContentUpload implements AsyncDisposable {
  readonly #ws: Workspace;
  readonly #forge: Forge;
  readonly #stream: PackStream;
  #uploadedBytes = 0;
  readonly #local: LocalPackWriter | undefined;

  constructor(ws: Workspace, forge: Forge) {
    this.#ws = ws;
    this.#forge = forge;
    const storesAtOnce = ws.inDirectory ? 1 : UPLOADS_AT_ONCE;
    this.#stream = new PackStream((pack) => this.#store(pack), { storesAtOnce });
    // Behind a network: what is landed is kept here too, so that it can be read without it.
    this.#local = ws.inDirectory ? undefined : ws.objects.writer("received");
  }

  get packs(): readonly PackId[] {
    return this.#stream.packs;
  }

  /** Frames that travel with the landing itself. */
  get inline(): readonly Frame[] {
    return this.#stream.open;
  }

  /** Takes the frame's bytes over: they are gone afterwards. Resolves when there is room for more. */
  add(frame: Frame): void | Promise<void> {
    return this.#stream.add(frame);
  }

  async finish(): Promise<void> {
    await this.#stream.finish(INLINE_CONTENT_BYTES_MAX);
    if (this.#local !== undefined) for (const frame of this.inline) this.#local.add(frame);
  }

  /** Makes the landed content readable from `.mic/objects`. */
  keep(): void {
    this.#local?.finish();
  }

  async #store(pack: Uint8Array): Promise<PackId> {
    const [id] = await Promise.all([
      this.#forge.putPack(this.#ws.settings.project, pack, callOptions(this.#ws)),
      this.#local?.addPack(pack),
    ]);
    this.#uploadedBytes += pack.length;
    this.#ws.context.onProgress?.({ task: "uploading", done: this.#uploadedBytes, total: 0, unit: "bytes" });
    return id;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stream[Symbol.asyncDispose]();
  }
}
