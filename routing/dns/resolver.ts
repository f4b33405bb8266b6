/**
 * The port to DNS (protocol §10): what the routing layer asks, and how it tells "there is none" from
 * "nobody answered". Absence is an Answer; failure is always thrown, so the two can not be mixed up.
 */

/** What the name servers said of one name and type. Empty `records` while the name `exists` is NODATA. */
export interface Answer<T> {
  readonly records: readonly T[]
  /** False: NXDOMAIN, the name has no records of any type. */
  readonly exists: boolean
  /** How long this may be believed, in milliseconds; of a kept answer what is left. */
  readonly ttlMs: number
  /** The resolver vouches for it by DNSSEC (AD). Believed only of a resolver on loopback. */
  readonly isSecure: boolean
  /** The name server that said it, as `ip:port` or `[ip]:port`. */
  readonly server: string
}

export interface MxRecord {
  /** Lower case, no trailing dot; `.` alone is a null MX (RFC 7505). */
  readonly host: string
  readonly preference: number
}

export interface SrvRecord {
  /** Lower case, no trailing dot; `.` alone says that the service is not offered (RFC 2782). */
  readonly host: string
  readonly port: number
  readonly priority: number
  readonly weight: number
}

export interface QueryOptions {
  /** Ends the wait of this caller with the signal's reason; others waiting for the same answer go on. */
  readonly signal?: AbortSignal
  /** True: ask the name servers even if an answer is kept, and keep the new one. */
  readonly fresh?: boolean
}

/**
 * Names are A-labels. All methods throw FMTP_DNS_FAILED (temporary) when no name server gives a proper
 * answer, and FMTP_BAD_NAME for what can not be a name in DNS.
 */
export interface Resolver {
  /** One text a record; the strings of one record are joined. */
  txt(name: string, options?: QueryOptions): Promise<Answer<string>>
  mx(name: string, options?: QueryOptions): Promise<Answer<MxRecord>>
  srv(name: string, options?: QueryOptions): Promise<Answer<SrvRecord>>
  /** A first, then AAAA. If only one of the two fails, the other's addresses are the answer, never an empty one. */
  addresses(name: string, options?: QueryOptions): Promise<Answer<string>>
}
