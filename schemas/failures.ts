/**
 * Every failure of the protocol in one table, and the one error class (protocol §11).
 * A peer sees the code and its fixed text; `detail` and `cause` are for the log alone.
 */

/** What a failure says beyond the request that failed. It decides what is tried next. */
export type Concern =
  /** Nothing more. */
  | 'request'
  /** It is about the way through a server that is not the recipient's: another way, or another day, may work. */
  | 'way'
  /** The same, and this way leads nowhere for anyone. */
  | 'dead-end'
  /** Asking again is of no use: what was asked for will not come. */
  | 'never'
  /** The bytes that came are wrong, and none of them is of any use. */
  | 'lie'
  /** The connection has ended. */
  | 'lost'
  /** The connection has ended because one side shuts down. This says nothing about the other side. */
  | 'shutdown'
  /** It was not even tried, because earlier attempts failed. */
  | 'rest'

export interface Failure {
  /** What a peer or a person is told: short, generic, without names of the other side. */
  readonly text: string
  /** True: the same request may succeed later; a courier tries again. */
  readonly isTemporary: boolean
  /** Status of the HTTP API. */
  readonly status: number
  /** True: the connection ends with `goodbye` and this code. False: it goes on. */
  readonly closes: boolean
  /** What else the failure is about. */
  readonly concern: Concern
}

type Builder = (concern: Concern, status: number, text: string) => Failure

const failure =
  (isTemporary: boolean, closes: boolean): Builder =>
  (concern, status, text) => ({ text, isTemporary, status, closes, concern })

const permanent = failure(false, false)
const temporary = failure(true, false)
const closing = failure(false, true)
const closingForNow = failure(true, true)

export const failures = {
  // frames (protocol §3, §4)
  FMTP_NOT_JSON: closing('request', 400, 'This line is not a JSON object in UTF-8.'),
  FMTP_FRAME_TOO_LARGE: closing('request', 413, 'This frame is larger than the limit.'),
  FMTP_TOO_DEEP: closing('request', 400, 'This frame is nested deeper than the limit.'),
  FMTP_DUPLICATE_NAME: closing('request', 400, 'An object in this frame has the same name twice.'),
  FMTP_UNSAFE_NAME: closing('request', 400, 'A name in this frame is not allowed.'),
  FMTP_UNSAFE_VALUE: closing(
    'request',
    400,
    'A number in this frame is not a safe integer, or a text not well-formed Unicode.',
  ),
  FMTP_BAD_FRAME: permanent('request', 400, 'This frame does not have the shape its verb asks for.'),
  FMTP_UNKNOWN_VERB: permanent(
    'request',
    400,
    'This verb is none of hello, describe, request, answer, goodbye.',
  ),
  FMTP_WRONG_STATE: permanent('request', 400, 'This frame is not allowed at this point of the conversation.'),
  FMTP_HELLO_FIRST: permanent('request', 400, 'Say hello before anything else.'),
  FMTP_DUPLICATE_N: permanent('request', 400, 'A frame with this n is still unanswered.'),
  FMTP_UNEXPECTED_ANSWER: permanent('request', 400, 'Nothing that was asked has this number.'),

  // hello (protocol §5)
  FMTP_HELLO_TIMEOUT: closingForNow('request', 408, 'No hello came in time.'),
  FMTP_VERSION: closing('request', 400, 'This version of the protocol is not spoken here.'),
  FMTP_NOT_MINE: closing('way', 421, 'This server does not serve the domain that the hello names.'),
  FMTP_PROOF: closing('request', 401, 'The proof of this hello does not verify.'),
  FMTP_BINDING: closing('request', 401, 'The proof of this hello belongs to another connection.'),
  FMTP_REPLAY: closing(
    'request',
    401,
    'This hello answers another nonce: it was made for another conversation.',
  ),
  FMTP_REFLECTED: closing('request', 401, 'This hello was made for the other direction.'),
  FMTP_CREDENTIAL: closing('request', 401, 'The credential does not vouch for this name.'),
  FMTP_CREDENTIAL_EXPIRED: closing('request', 401, 'The credential is no longer or not yet valid.'),
  FMTP_REVOKED: closing('request', 401, 'This device is not enrolled here any more.'),
  FMTP_TOKEN: closing(
    'request',
    401,
    'This token is not known, used up or too old. Ask for a new log-in link.',
  ),
  FMTP_ACCOUNT_GONE: closing('request', 410, 'This account was deleted.'),
  FMTP_TOO_MANY_DEVICES: closing('request', 403, 'As many devices are enrolled for this user as can be.'),
  FMTP_WRONG_PEER: closing('request', 421, 'Another domain answered than the one that was called.'),

  // objects (protocol §6, §7)
  FMTP_BAD_NAME: permanent('request', 400, 'This is not an address or id.'),
  FMTP_BAD_OBJECT: permanent('request', 400, 'This object does not have the shape its kind asks for.'),
  FMTP_UNKNOWN_KIND: permanent('request', 400, 'This server does not know this kind of object.'),
  FMTP_OBJECT_TOO_LARGE: permanent('request', 413, 'This object is larger than the limit.'),
  FMTP_NOT_SEALED: permanent('request', 400, 'This object carries no seal.'),
  FMTP_SEAL: permanent('request', 400, 'The seal of this object does not verify.'),
  FMTP_SEAL_CREDENTIAL: permanent(
    'request',
    400,
    'The credential of this object was not made by the domain of its owner.',
  ),
  FMTP_SEAL_EXPIRED: permanent(
    'request',
    400,
    'The key of this object was not valid when the object was made, or is not any more.',
  ),
  FMTP_FROM_FUTURE: temporary('request', 409, 'This object was made in the future. Compare the clocks.'),
  FMTP_ENDED: permanent('request', 410, 'This object says that it has ended.'),
  FMTP_TOO_OLD: permanent('request', 409, 'A newer version of this object, or its deletion, is known.'),
  FMTP_CONFLICT: permanent('request', 409, 'Another version was edited than the one that is current.'),
  FMTP_NOT_OWED: permanent('request', 403, 'Nobody here waits for such a report.'),
  FMTP_PARENT: permanent('request', 409, 'The parent of this object is another than it says.'),
  FMTP_NOT_OWNER: permanent('request', 403, 'This object belongs to somebody else.'),

  // blobs (protocol §9.8)
  FMTP_BLOB_HASH: permanent('request', 400, 'These bytes have another SHA-256 than their name.'),
  FMTP_BLOB_TOO_LARGE: permanent('never', 413, 'This blob is larger than the limit.'),
  FMTP_BLOB_SIZE: permanent('lie', 502, 'This blob has another size than the object says.'),
  FMTP_BLOB_PIECE: permanent('lie', 502, 'This is not the piece of the blob that was asked for.'),
  FMTP_NO_BLOB: permanent('request', 409, 'A blob that this object names is not here. Upload it first.'),
  FMTP_NO_ROOM: permanent('never', 507, 'There is no room left for your blobs. Delete what you do not need.'),
  FMTP_UNAUTHORIZED: permanent('request', 401, 'This request does not prove who makes it.'),

  // admission (protocol §8)
  FMTP_NO_RECIPIENT: permanent('request', 400, 'The describe names nobody it is for.'),
  FMTP_TOO_MANY_RECIPIENTS: permanent('request', 413, 'More recipients than the limit.'),
  FMTP_TOO_MANY_GROUPS: permanent('request', 403, 'You have made as many groups as one user may.'),
  FMTP_LAST_MODERATOR: permanent(
    'request',
    409,
    'A group would have no moderator left. Name another one first.',
  ),
  FMTP_UNKNOWN_RECIPIENT: permanent('request', 404, 'Nobody here has this address.'),
  FMTP_REFUSED: permanent('request', 403, 'The recipient does not take this.'),
  FMTP_FORMAT: permanent('request', 415, 'The recipient does not read this format.'),
  FMTP_ENCRYPT_REQUIRED: permanent('request', 403, 'The recipient takes encrypted messages only.'),
  FMTP_ENCRYPT_NONE: permanent('request', 403, 'The recipient does not take encrypted messages.'),
  FMTP_QUOTA: temporary('request', 507, 'The recipient has no room left.'),
  FMTP_RATE: temporary('request', 429, 'Too much in too short a time.'),
  FMTP_NOT_RELAYED: permanent(
    'way',
    403,
    'This server delivers to foreign addresses for its own users and its children only.',
  ),
  FMTP_RELAY_ROOM: temporary('request', 507, 'As much as may wait here for that domain waits already.'),
  FMTP_NO_REPORT: permanent(
    'request',
    504,
    'The server that took this to pass it on did not say what became of it.',
  ),

  // requests (protocol §9)
  FMTP_ABSENT: permanent('never', 404, 'There is no such object.'),
  FMTP_NOT_HERE: temporary(
    'request',
    404,
    'This is not the home of that address, and nothing more is looked up for you.',
  ),
  FMTP_NOT_ALLOWED: permanent('request', 403, 'This needs more than you have proved to be.'),
  FMTP_CURSOR_LOST: permanent(
    'request',
    410,
    'This cursor is from before a restore. Start at the beginning.',
  ),
  FMTP_CURSOR_AHEAD: permanent('request', 400, 'This cursor is ahead of its list.'),
  FMTP_NOT_OFFERED: permanent('request', 501, 'This server does not offer that.'),
  FMTP_USE_STREAM: permanent('request', 413, 'This does not fit a datagram. Ask over TCP.'),

  // finding and reaching (protocol §10)
  FMTP_ISLAND: permanent('request', 404, 'This server is an island: it reaches no other domain.'),
  FMTP_DNS_FAILED: temporary('request', 503, 'No name server answered.'),
  FMTP_NOT_SECURE: temporary(
    'request',
    503,
    'DNSSEC does not vouch for the keys of this domain, and they are not believed without.',
  ),
  FMTP_NO_KEY: permanent('request', 404, 'This domain publishes no fmtpkey record: it does not speak FMTP.'),
  FMTP_NO_HOST: permanent('request', 404, 'This domain names no host that takes FMTP.'),
  FMTP_UNREACHABLE: temporary('request', 503, 'No host of this domain could be reached.'),
  FMTP_CONNECT_FAILED: temporary('request', 503, 'The connection could not be made.'),
  FMTP_GUARDED: permanent('request', 403, 'This address may not be dialled.'),
  FMTP_RESTING: temporary('rest', 503, 'This host failed a short while ago and rests.'),
  FMTP_LOOP: permanent('dead-end', 508, 'This came back to a server that it had been through.'),
  FMTP_TOO_FAR: permanent('dead-end', 508, 'This passed more servers than the limit.'),
  FMTP_TIMEOUT: temporary('request', 504, 'No answer came in time.'),
  FMTP_DISCONNECTED: temporary('lost', 503, 'The connection closed before the answer.'),
  FMTP_SLOW_READER: closingForNow('request', 408, 'Too much stood unread for too long.'),

  // the server itself
  FMTP_BUSY: temporary('request', 503, 'This server can not do that now. Try again later.'),
  FMTP_SHUTTING_DOWN: closingForNow('shutdown', 503, 'This server is going down. Come back soon.'),
  FMTP_FULL: temporary('request', 507, 'The disk of this server is nearly full.'),
  FMTP_STORE: temporary('request', 503, 'This server could not write to its store.'),
  FMTP_CONFIG: permanent('request', 500, 'The configuration is not valid.'),
  FMTP_NOT_FOUND: permanent('request', 404, 'There is nothing at this place.'),
  FMTP_INTERNAL: temporary('request', 500, 'Something went wrong here. The operator has been told.'),
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

  get concern(): Concern {
    return failures[this.code].concern
  }
}

/** Anything thrown as an FmtpError: an unexpected error becomes FMTP_INTERNAL and keeps its cause. */
export function toFmtpError(error: unknown): FmtpError {
  if (error instanceof FmtpError) return error
  return new FmtpError('FMTP_INTERNAL', error instanceof Error ? error.message : String(error), {
    cause: error,
  })
}
