/**
 * Content on its way to a landing: inline while it is small, as packs of its own beyond that. One pack is stored
 * while the next is made, in two pieces of memory that take turns.
 */
import { releaseBytes } from "../base/bytes.ts";
import type { PackId } from "../base/ids.ts";
import { INLINE_CONTENT_BYTES_MAX, PACK_TARGET_BYTES } from "../base/limits.ts";
import { PackBuilder } from "../codec/pack-builder.ts";
import type { Forge } from "../forge/forge.ts";
import type { Frame } from "../objects/frame.ts";
import { callOptions } from "./base-changes.ts";
import type { LocalPackWriter } from "./local-objects.ts";
import type { Workspace } from "./workspace.ts";

/** The last frame of a pack, and the index. */
const PACK_SLACK_BYTES = 5 << 20;

export class ContentUpload implements AsyncDisposable {
  readonly packs: PackId[] = [];
  readonly #ws: Workspace;
  readonly #forge: Forge;
  #open = newBuilder();
  /** The pack before, while it is being stored. Resolves to its memory. */
  #storing: Promise<PackBuilder> | undefined;
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
    return this.#open.frames;
  }

  /** Takes the frame's bytes over: they are gone afterwards. Resolves when there is room for more. */
  add(frame: Frame): void | Promise<void> {
    this.#local?.add(frame);
    this.#open.add(frame);
    releaseBytes(frame.stored);
    if (this.#open.storedLength >= PACK_TARGET_BYTES) return this.#upload();
  }

  async finish(): Promise<void> {
    if (this.#open.storedLength > INLINE_CONTENT_BYTES_MAX) await this.#upload();
    const spare = await this.#storing;
    spare?.release();
  }

  /** Makes the landed content readable from `.mic/objects`. */
  keep(): void {
    this.#local?.finish();
  }

  async #upload(): Promise<void> {
    const spare = await this.#storing;
    const full = this.#open;
    this.#open = spare ?? newBuilder();
    this.#storing = this.#store(full);
    // Whoever waits for it next gets its error.
    this.#storing.catch(() => undefined);
  }

  async #store(full: PackBuilder): Promise<PackBuilder> {
    const bytes = full.finish();
    this.packs.push(await this.#forge.putPack(this.#ws.settings.project, bytes, callOptions(this.#ws)));
    this.#uploadedBytes += bytes.length;
    this.#ws.context.onProgress?.({ task: "uploading", done: this.#uploadedBytes, total: 0, unit: "bytes" });
    full.clear();
    return full;
  }

  /** Leaves no upload running behind the caller's back. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#storing?.catch(() => undefined);
  }
}

function newBuilder(): PackBuilder {
  return new PackBuilder(PACK_TARGET_BYTES + PACK_SLACK_BYTES);
}
