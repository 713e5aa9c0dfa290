/** From an archive to a directory: every file as the manifest says, or nothing that may be used. */
import { mkdir, open } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { MicError } from "../../core/base/errors.ts";
import { StreamHasher } from "../../core/base/hash.ts";
import { MANIFEST, MANIFEST_VERSION } from "./backup-manifest.ts";
import { readTar, type TarEntry } from "./tar.ts";

const MANIFEST_BYTES_MAX = 256 << 20;
const manifestSchema = z.object({
  version: z.literal(MANIFEST_VERSION),
  mic: z.string(),
  createdAt: z.iso.datetime(),
  entries: z.array(
    z.object({ name: z.string(), size: z.int().min(0), hash: z.string().regex(/^[0-9a-f]{64}$/) }),
  ),
});

export type BackupManifest = z.output<typeof manifestSchema>;

/**
 * `directory` is there and empty; files get mode 0600. Errors: `corrupt`, also for one byte that is another,
 * `unsupported` for a newer format; what was written then is incomplete.
 */
export async function extractBackup(
  file: string,
  directory: string,
  signal?: AbortSignal,
): Promise<BackupManifest> {
  const found = new Map<string, TarEntry>();
  let manifest: BackupManifest | undefined;
  const archive = await openArchive(file);
  try {
    await readTar(archive, async (name, size, parts) => {
      signal?.throwIfAborted();
      if (manifest !== undefined || found.has(name)) throw damaged(`${name} is in it out of place`);
      if (name === MANIFEST) {
        if (size > MANIFEST_BYTES_MAX) throw damaged("its list is too long");
        manifest = readManifest(await joined(parts));
        return;
      }
      found.set(name, { name, size, hash: await writeEntry(path.join(directory, name), parts) });
    });
  } finally {
    await archive.close();
  }
  if (manifest === undefined) throw damaged("its list is missing");
  for (const { name, size, hash } of manifest.entries) {
    const entry = found.get(name);
    if (entry?.size !== size || entry.hash !== hash) throw damaged(`${name} is not what was backed up`);
  }
  if (found.size !== manifest.entries.length) throw damaged("it holds more than its list");
  return manifest;
}

async function openArchive(file: string): Promise<Awaited<ReturnType<typeof open>>> {
  try {
    return await open(file, "r");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    throw new MicError("not-found", `there is no backup ${file}`, { cause });
  }
}

async function writeEntry(target: string, parts: AsyncIterable<Uint8Array>): Promise<string> {
  await mkdir(path.dirname(target), { recursive: true, mode: 0o700 });
  const hasher = new StreamHasher();
  const handle = await open(target, "wx", 0o600);
  try {
    for await (const part of parts) {
      hasher.update(part);
      for (let done = 0; done < part.length; ) {
        done += (await handle.write(part, done, part.length - done)).bytesWritten;
      }
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return hasher.digest();
}

async function joined(parts: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const copies: Buffer[] = [];
  for await (const part of parts) copies.push(Buffer.from(part));
  return Buffer.concat(copies);
}

function readManifest(bytes: Buffer): BackupManifest {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    throw new MicError("corrupt", "the backup is damaged: its list cannot be read", { cause });
  }
  const version = (value as { readonly version?: unknown } | null)?.version;
  if (typeof version === "number" && version > MANIFEST_VERSION) {
    throw new MicError("unsupported", "the backup was made by a newer mic", {
      hint: "restore it with that one",
    });
  }
  const parsed = manifestSchema.safeParse(value);
  if (!parsed.success) throw damaged("its list cannot be read");
  return parsed.data;
}

function damaged(what: string): MicError {
  return new MicError("corrupt", `the backup is damaged: ${what}`, { hint: "use another backup" });
}
