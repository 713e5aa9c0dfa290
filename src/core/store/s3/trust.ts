/** Which certificates are trusted beside those that the runtime brings: the system's, and the caller's. */
import { TransportError } from "./transport.ts";

const NO_ISSUER =
  /^(?:UNABLE_TO_GET_ISSUER_CERT(?:_LOCALLY)?|UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|CERT_UNTRUSTED)$/;

/** The handshake failed because nobody known has signed the certificate. Nothing of the request was sent. */
export function hasUnknownIssuer(error: unknown): boolean {
  return (
    error instanceof TransportError &&
    error.reason === "tls" &&
    !error.mayBeSent &&
    NO_ISSUER.test(error.code ?? "")
  );
}

/** In PEM form. Some milliseconds, so only asked for when a handshake has failed. */
export async function allCertificates(given: string | undefined): Promise<readonly string[]> {
  const tls = await import("node:tls");
  return [
    ...tls.getCACertificates("default"),
    ...tls.getCACertificates("system"),
    ...(given === undefined ? [] : [given]),
  ];
}
