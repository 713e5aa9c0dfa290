/** The last entry of a backup: what is in it. Described in ./backup.ts. */
export const MANIFEST = "mic-backup.json";
export const MANIFEST_VERSION = 1;
