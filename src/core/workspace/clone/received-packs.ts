/**
 * The content that a clone receives, in packs (codec/pack.ts) of `.mic/objects` that are written while it comes: no
 * pack is ever in memory. For the one command in a workspace that nothing else can use yet: what a killed one left
 * over is removed.
 */
import { closeSync, openSync, readdirSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { hashObject } from "../../base/hash.ts";
import { PACK_TARGET_BYTES } from "../../base/limits.ts";
import type { Frame } from "../../codec/frame.ts";
import { encodePackHeader, encodePackTail } from "../../codec/pack.ts";
import { PackRows } from "../../codec/pack-rows.ts";
import { ensureDirectory } from "../disk/atomic-file.ts";

const TEMPORARY = /^received\.tmp-\d+$/;
/** Frames are small; writes are not. */
const BUFFER_BYTES = 512 << 10;

export class ReceivedPacks implements Disposable {
  readonly #directory: string;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #bufferLength = 0;
  /** Of the pack that is being written. */
  #file: number | undefined;
  #path = "";
  #rows = new PackRows();
  #storedLength = 0;
  #count = 0;

  /** `directory` is made when it is needed. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Copies or writes the frame's bytes. */
  add(frame: Frame): void {
    this.#file ??= this.#begin();
    this.#rows.add(frame);
    this.#write(frame.stored);
    this.#storedLength += frame.stored.length;
    if (this.#storedLength >= PACK_TARGET_BYTES) this.#end();
  }

  /** Everything that was added can be read. */
  finish(): void {
    if (this.#file !== undefined) this.#end();
  }

  [Symbol.dispose](): void {
    if (this.#file === undefined) return;
    closeSync(this.#file);
    this.#file = undefined;
    rmSync(this.#path, { force: true });
  }

  #begin(): number {
    if (this.#count === 0) this.#removeLeftOver();
    this.#path = join(this.#directory, `received.tmp-${this.#count++}`);
    const file = openSync(this.#path, "wx", 0o666);
    this.#rows = new PackRows();
    this.#storedLength = 0;
    this.#bufferLength = 0;
    this.#file = file;
    this.#write(encodePackHeader());
    return file;
  }

  #removeLeftOver(): void {
    ensureDirectory(this.#directory);
    for (const name of readdirSync(this.#directory)) {
      if (TEMPORARY.test(name)) rmSync(join(this.#directory, name));
    }
  }

  /** The tail has the ids and checksums of everything in the pack, so its hash tells the pack from every other. */
  #end(): void {
    const tail = encodePackTail(this.#rows);
    this.#write(tail);
    this.#flush();
    closeSync(this.#file!);
    this.#file = undefined;
    renameSync(this.#path, join(this.#directory, `received-${hashObject(tail)}.pack`));
  }

  #write(bytes: Uint8Array): void {
    if (this.#bufferLength + bytes.length > BUFFER_BYTES) this.#flush();
    if (bytes.length > BUFFER_BYTES) {
      this.#writeAll(bytes);
      return;
    }
    this.#buffer.set(bytes, this.#bufferLength);
    this.#bufferLength += bytes.length;
  }

  #flush(): void {
    this.#writeAll(this.#buffer.subarray(0, this.#bufferLength));
    this.#bufferLength = 0;
  }

  #writeAll(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(this.#file!, bytes, done, bytes.length - done);
    }
  }
}
