/** What signs a request, and where it comes from. The sources themselves are in `credentials/`. */

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Only of temporary credentials. */
  readonly sessionToken?: string;
  /** Unix milliseconds; absent: they do not expire. */
  readonly expiresAtMs?: number;
}

export interface CredentialSource {
  /**
   * Fresh enough for a request now; renews what is about to expire. `force`: the store said that the last ones
   * expired, whatever their own time says. Errors: `unauthenticated` naming what to set.
   */
  get(options?: { readonly force?: boolean; readonly signal?: AbortSignal }): Promise<Credentials>;
}
