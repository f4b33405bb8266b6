/**
 * Every failure of the protocol in one table, and the one error class (protocol §11).
 * A peer sees the code and its fixed text; `detail` and `cause` are for the log alone.
 */

export interface Failure {
  /** What a peer or a person is told: short, generic, without names of the other side. */
  readonly text: string
  /** True: the same request may succeed later; a courier tries again. */
  readonly isTemporary: boolean
  /** Status of the HTTP API. */
  readonly status: number
  /** True: the connection ends with `goodbye` and this code. False: it goes on. */
  readonly closes: boolean
}

const permanent = (text: string, status = 400): Failure => ({
  text,
  isTemporary: false,
  status,
  closes: false,
})
const temporary = (text: string, status = 503): Failure => ({
  text,
  isTemporary: true,
  status,
  closes: false,
})
const closing = (text: string, status = 400, isTemporary = false): Failure => ({
  text,
  isTemporary,
  status,
  closes: true,
})

export const failures = {
  // frames (protocol §3, §4)
  FMTP_NOT_JSON: closing('This line is not a JSON object in UTF-8.'),
  FMTP_FRAME_TOO_LARGE: closing('This frame is larger than the limit.', 413),
  FMTP_TOO_DEEP: closing('This frame is nested deeper than the limit.'),
  FMTP_DUPLICATE_NAME: closing('An object in this frame has the same name twice.'),
  FMTP_UNSAFE_NAME: closing('A name in this frame is not allowed.'),
  FMTP_UNSAFE_VALUE: closing(
    'A number in this frame is not a safe integer, or a text not well-formed Unicode.',
  ),
  FMTP_BAD_FRAME: permanent('This frame does not have the shape its verb asks for.'),
  FMTP_UNKNOWN_VERB: permanent('This verb is none of hello, describe, request, answer, goodbye.'),
  FMTP_WRONG_STATE: permanent('This frame is not allowed at this point of the conversation.'),
  FMTP_HELLO_FIRST: permanent('Say hello before anything else.'),
  FMTP_DUPLICATE_N: permanent('A frame with this n is still unanswered.'),
  FMTP_UNEXPECTED_ANSWER: permanent('Nothing that was asked has this number.'),

  // hello (protocol §5)
  FMTP_HELLO_TIMEOUT: closing('No hello came in time.', 408, true),
  FMTP_VERSION: closing('This version of the protocol is not spoken here.'),
  FMTP_NOT_MINE: closing('This server does not serve the domain that the hello names.', 421),
  FMTP_PROOF: closing('The proof of this hello does not verify.', 401),
  FMTP_BINDING: closing('The proof of this hello belongs to another connection.', 401),
  FMTP_REPLAY: closing('This hello answers another nonce: it was made for another conversation.', 401),
  FMTP_REFLECTED: closing('This hello was made for the other direction.', 401),
  FMTP_CREDENTIAL: closing('The credential does not vouch for this name.', 401),
  FMTP_CREDENTIAL_EXPIRED: closing('The credential is no longer or not yet valid.', 401),
  FMTP_REVOKED: closing('This device is not enrolled here any more.', 401),
  FMTP_TOKEN: closing('This token is not known, used up or too old. Ask for a new log-in link.', 401),
  FMTP_ACCOUNT_GONE: closing('This account was deleted.', 410),
  FMTP_TOO_MANY_DEVICES: closing('As many devices are enrolled for this user as can be.', 403),
  FMTP_WRONG_PEER: closing('Another domain answered than the one that was called.', 421),

  // objects (protocol §6, §7)
  FMTP_BAD_NAME: permanent('This is not an address or id.'),
  FMTP_BAD_OBJECT: permanent('This object does not have the shape its kind asks for.'),
  FMTP_UNKNOWN_KIND: permanent('This server does not know this kind of object.'),
  FMTP_OBJECT_TOO_LARGE: permanent('This object is larger than the limit.', 413),
  FMTP_NOT_SEALED: permanent('This object carries no seal.'),
  FMTP_SEAL: permanent('The seal of this object does not verify.'),
  FMTP_SEAL_CREDENTIAL: permanent('The credential of this object was not made by the domain of its owner.'),
  FMTP_SEAL_EXPIRED: permanent(
    'The key of this object was not valid when the object was made, or is not any more.',
  ),
  FMTP_FROM_FUTURE: temporary('This object was made in the future. Compare the clocks.', 409),
  FMTP_ENDED: permanent('This object says that it has ended.', 410),
  FMTP_TOO_OLD: permanent('A newer version of this object, or its deletion, is known.', 409),
  FMTP_CONFLICT: permanent('Another version was edited than the one that is current.', 409),
  FMTP_NOT_OWED: permanent('Nobody here waits for such a report.', 403),
  FMTP_PARENT: permanent('The parent of this object is another than it says.', 409),
  FMTP_NOT_OWNER: permanent('This object belongs to somebody else.', 403),

  // blobs (protocol §9.8)
  FMTP_BLOB_HASH: permanent('These bytes have another SHA-256 than their name.'),
  FMTP_BLOB_TOO_LARGE: permanent('This blob is larger than the limit.', 413),
  FMTP_BLOB_SIZE: permanent('This blob has another size than the object says.', 502),
  FMTP_BLOB_PIECE: permanent('This is not the piece of the blob that was asked for.', 502),
  FMTP_NO_BLOB: permanent('A blob that this object names is not here. Upload it first.', 409),
  FMTP_NO_ROOM: permanent('There is no room left for your blobs. Delete what you do not need.', 507),
  FMTP_UNAUTHORIZED: permanent('This request does not prove who makes it.', 401),

  // admission (protocol §8)
  FMTP_NO_RECIPIENT: permanent('The describe names nobody it is for.'),
  FMTP_TOO_MANY_RECIPIENTS: permanent('More recipients than the limit.', 413),
  FMTP_TOO_MANY_GROUPS: permanent('You have made as many groups as one user may.', 403),
  FMTP_LAST_MODERATOR: permanent('A group would have no moderator left. Name another one first.', 409),
  FMTP_UNKNOWN_RECIPIENT: permanent('Nobody here has this address.', 404),
  FMTP_REFUSED: permanent('The recipient does not take this.', 403),
  FMTP_FORMAT: permanent('The recipient does not read this format.', 415),
  FMTP_ENCRYPT_REQUIRED: permanent('The recipient takes encrypted messages only.', 403),
  FMTP_ENCRYPT_NONE: permanent('The recipient does not take encrypted messages.', 403),
  FMTP_QUOTA: temporary('The recipient has no room left.', 507),
  FMTP_RATE: temporary('Too much in too short a time.', 429),
  FMTP_NOT_RELAYED: permanent(
    'This server delivers to foreign addresses for its own users and its children only.',
    403,
  ),
  FMTP_RELAY_ROOM: temporary('As much as may wait here for that domain waits already.', 507),
  FMTP_NO_REPORT: permanent('The server that took this to pass it on did not say what became of it.', 504),

  // requests (protocol §9)
  FMTP_ABSENT: permanent('There is no such object.', 404),
  FMTP_NOT_HERE: temporary(
    'This is not the home of that address, and nothing more is looked up for you.',
    404,
  ),
  FMTP_NOT_ALLOWED: permanent('This needs more than you have proved to be.', 403),
  FMTP_CURSOR_LOST: permanent('This cursor is from before a restore. Start at the beginning.', 410),
  FMTP_CURSOR_AHEAD: permanent('This cursor is ahead of its list.', 400),
  FMTP_NOT_OFFERED: permanent('This server does not offer that.', 501),
  FMTP_USE_STREAM: permanent('This does not fit a datagram. Ask over TCP.', 413),

  // finding and reaching (protocol §10)
  FMTP_ISLAND: permanent('This server is an island: it reaches no other domain.', 404),
  FMTP_DNS_FAILED: temporary('No name server answered.'),
  FMTP_NOT_SECURE: temporary(
    'DNSSEC does not vouch for the keys of this domain, and they are not believed without.',
  ),
  FMTP_NO_KEY: permanent('This domain publishes no fmtpkey record: it does not speak FMTP.', 404),
  FMTP_NO_HOST: permanent('This domain names no host that takes FMTP.', 404),
  FMTP_UNREACHABLE: temporary('No host of this domain could be reached.'),
  FMTP_CONNECT_FAILED: temporary('The connection could not be made.'),
  FMTP_GUARDED: permanent('This address may not be dialled.', 403),
  FMTP_RESTING: temporary('This host failed a short while ago and rests.'),
  FMTP_LOOP: permanent('This came back to a server that it had been through.', 508),
  FMTP_TOO_FAR: permanent('This passed more servers than the limit.', 508),
  FMTP_TIMEOUT: temporary('No answer came in time.', 504),
  FMTP_DISCONNECTED: temporary('The connection closed before the answer.'),
  FMTP_SLOW_READER: closing('Too much stood unread for too long.', 408, true),

  // the server itself
  FMTP_BUSY: temporary('This server can not do that now. Try again later.'),
  FMTP_SHUTTING_DOWN: closing('This server is going down. Come back soon.', 503, true),
  FMTP_FULL: temporary('The disk of this server is nearly full.', 507),
  FMTP_STORE: temporary('This server could not write to its store.'),
  FMTP_CONFIG: permanent('The configuration is not valid.', 500),
  FMTP_NOT_FOUND: permanent('There is nothing at this place.', 404),
  FMTP_INTERNAL: temporary('Something went wrong here. The operator has been told.', 500),
} as const satisfies Record<string, Failure>

export type FailureCode = keyof typeof failures

/** The failure of a code that came from a peer; an unknown one is temporary, so that nothing is given up for it. */
export function findFailure(code: string): Failure | undefined {
  return Object.hasOwn(failures, code) ? failures[code as FailureCode] : undefined
}

export interface FmtpErrorOptions {
  readonly cause?: unknown
  /** When trying again makes sense, in ms from now. */
  readonly retryAfterMs?: number
}

/** The one error this project throws on purpose. `message` is `detail`, for the log; `text` may be told to a peer. */
export class FmtpError extends Error {
  readonly code: FailureCode
  readonly retryAfterMs: number | undefined

  constructor(code: FailureCode, detail?: string, options: FmtpErrorOptions = {}) {
    super(
      detail === undefined ? code : `${code}: ${detail}`,
      options.cause === undefined ? {} : { cause: options.cause },
    )
    this.name = 'FmtpError'
    this.code = code
    this.retryAfterMs = options.retryAfterMs
  }

  get text(): string {
    return failures[this.code].text
  }

  get isTemporary(): boolean {
    return failures[this.code].isTemporary
  }
}

/** Anything thrown as an FmtpError: an unexpected error becomes FMTP_INTERNAL and keeps its cause. */
export function toFmtpError(error: unknown): FmtpError {
  if (error instanceof FmtpError) return error
  return new FmtpError('FMTP_INTERNAL', error instanceof Error ? error.message : String(error), {
    cause: error,
  })
}
