/** Tells HTTP/2 from HTTP/1.1 by a connection's first bytes (RFC 9113, section 3.4). */

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** `undefined`: more bytes are needed. Whatever is not HTTP/2 is left to the HTTP/1.1 parser to refuse. */
export function sniffProtocol(head: Uint8Array): "http1" | "http2" | undefined {
  const length = Math.min(head.length, PREFACE.length);
  for (let i = 0; i < length; i++) if (head[i] !== PREFACE[i]) return "http1";
  return length === PREFACE.length ? "http2" : undefined;
}
