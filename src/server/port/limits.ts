/** What one connection may cost. Times in milliseconds. */
export interface PortLimits {
  /** Open connections; one more is answered 503. */
  readonly connectionsMax: number;
  /** Of one address that is no trusted proxy and not this machine. */
  readonly connectionsPerAddressMax: number;
  /** From a connection's or a request's first byte to the end of its head. */
  readonly headMs: number;
  /** A connection without a call. */
  readonly idleMs: number;
  /** A body, or an answer, of which not one byte moves although the other side could. */
  readonly stallMs: number;
  /** An answer was given before the request's body ended: how long the rest is read and dropped. */
  readonly lingerMs: number;
  /** Head of a request, with its request line, in bytes. */
  readonly headBytesMax: number;
  /** Part of a body that is read ahead of its handler, in bytes. */
  readonly bufferedBytesMax: number;
  /** Streams of one HTTP/2 connection at once. */
  readonly streamsMax: number;
  /** Streams of one HTTP/2 connection that the caller may reset at once, and then each second. */
  readonly resetBurst: number;
  readonly resetRate: number;
}

export const PORT_LIMITS: PortLimits = {
  connectionsMax: 10_000,
  connectionsPerAddressMax: 1_000,
  headMs: 10_000,
  idleMs: 75_000,
  stallMs: 60_000,
  lingerMs: 5_000,
  headBytesMax: 32 << 10,
  bufferedBytesMax: 1 << 20,
  streamsMax: 1_000,
  resetBurst: 1_000,
  resetRate: 33,
};
