/** Stores that can let somebody else read or write one key for a while, without credentials. */

export interface PresignedUrl {
  readonly url: string;
  /** The request must carry exactly these besides its own; a browser's `Host` is right by itself. */
  readonly headers: Readonly<Record<string, string>>;
  /** Unix milliseconds on the store's clock. */
  readonly expiresAtMs: number;
}

export interface PresigningStore {
  /** A URL for GET, ranges included. `seconds`: 1 to 604,800 (a week); temporary credentials may end before. */
  presignGet(key: string, seconds: number): Promise<PresignedUrl>;

  /**
   * A URL for PUT. It overwrites, so the key must be one that nobody trusts yet. With `size` the store refuses
   * a body of any other length.
   */
  presignPut(key: string, seconds: number, options?: { readonly size?: number }): Promise<PresignedUrl>;
}

export function canPresign(store: object): store is PresigningStore {
  return "presignGet" in store && "presignPut" in store;
}
