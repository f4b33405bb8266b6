/**
 * Pieces of blobs over a connection (protocol §9.9): for the sake of one object, whose home is where they are looked for. What
 * is here is given; what is not is looked for on behalf of our users, of our children, and of whoever asks for what a child has.
 */
import type { Clock } from '../../objects/clock.ts'
import type { Step } from '../../routing/ladder.ts'
import { type AskPiece, isComing } from '../../routing/lookup/blob-pieces.ts'
import type { Piece, PieceQuery } from '../../routing/lookup/piece.ts'
import { FmtpError, toFmtpError } from '../../schemas/failures.ts'
import type { RequestFrame } from '../../schemas/frame.ts'
import { limits } from '../../schemas/limits.ts'
import {
  type Address,
  type Domain,
  domainOf,
  type Name,
  type ObjectId,
  ownerOf,
} from '../../schemas/text/names.ts'
import { type Answer, failureAnswer, type Inquiry } from '../../wire/pairing.ts'
import type { Standing } from '../accounts/principal.ts'
import type { Asking } from './asker-slots.ts'
import { askPatiently } from './download.ts'
import { type Carrier, readPiece } from './relay-cache.ts'
import type { Asker, Shelf } from './user-blobs.ts'

export interface BlobRevealPorts {
  readonly shelf: Shelf
  readonly ask: AskPiece
  readonly clock: Clock
  readonly carrier: Carrier
  isOwn(name: Name): boolean
  /** A domain that this server looks up for. */
  isChild(domain: Domain): boolean
  /** True where somebody here has this object in the box. */
  isHeld(id: ObjectId): Promise<boolean>
  /** Has a blob of such an object come. @throws {FmtpError} why it does not */
  bring(sha256: string, id: ObjectId): Promise<void>
  onStep(about: string, step: Step): void
}

export interface SoughtBlob {
  readonly blob: string
  readonly id: ObjectId
}

export interface BlobAsking {
  readonly standing: Standing
  /** Users for whom the session asks. */
  readonly viewers: readonly string[]
  /** The servers through which the question came. */
  readonly hops: readonly Domain[]
  /** How far it goes: not at all, to a child below, or up the whole ladder. */
  readonly extent: 'here' | 'below' | 'all'
}

export type BlobReveal = (sought: SoughtBlob, inquiry: Inquiry, by: BlobAsking) => Promise<Answer>

export function createBlobReveal(ports: BlobRevealPorts): BlobReveal {
  const { shelf } = ports

  async function findHere({ blob, id }: SoughtBlob, asker: Asker, range: PieceQuery['range']) {
    const found = await shelf.findAs(blob, id, asker)
    if (found === undefined) return undefined
    return pieceAnswer(await readPiece(shelf, { blob, range, total: found.bytes }), range[0])
  }

  /** Passed on as it comes: only who has all pieces can hold them against the hash. */
  async function relay(query: PieceQuery, as: Domain): Promise<Answer> {
    const onStep = (step: Step): void => ports.onStep(query.id, step)
    const { clock } = ports
    const patience = { clock, pause: (ms: number) => clock.sleep(ms) }
    const asking = askPatiently(
      () => ports.ask(query, { as, onStep }),
      clock.now() + limits.bringMs,
      patience,
    )
    return answerOf(asking, query.range[0])
  }

  /** Through here, and kept. */
  function carry(sought: SoughtBlob, who: Carrying, range: PieceQuery['range']): Promise<Answer> {
    const { hops = [], extent, ...rest } = who
    return answerOf(ports.carrier.give({ ...sought, ...rest, range, hops, extent }), range[0])
  }

  /** Where somebody here has the object its blob comes here whole, and is seen only when it is. */
  async function climbFor(
    sought: SoughtBlob,
    asker: Asker,
    { range, user }: { readonly range: PieceQuery['range']; readonly user: Address },
  ): Promise<Answer> {
    const { blob, id } = sought
    if (!(shelf.mayHaveFor(blob, id, asker) && (await ports.isHeld(id)))) {
      if (ports.carrier.has(blob, id))
        return carry(sought, { asker, by: { who: user, isChild: true } }, range)
      const query = { blob, id, secret: asker.secret, for: asker.viewers as Address[], range }
      return relay(query, domainOf(user))
    }
    try {
      await ports.bring(blob, id)
    } catch (thrown) {
      return failed(thrown)
    }
    return (await findHere(sought, asker, range)) ?? failed(new FmtpError('FMTP_NOT_HERE'))
  }

  return async (sought, inquiry, { standing, viewers, hops, extent }) => {
    const { request } = inquiry
    if (request.follow === true) throw new FmtpError('FMTP_NOT_OFFERED', 'following a blob')
    const range = rangeOf(request)
    // A guest gets what is public.
    const asker = { secret: standing.role === 'guest' ? undefined : request.secret, viewers }
    // Nobody asks for more pieces than are read.
    await inquiry.drained()
    if (inquiry.signal.aborted) throw new FmtpError('FMTP_DISCONNECTED')
    const here = await findHere(sought, asker, range)
    if (here !== undefined) return here
    if (ports.isOwn(ownerOf(sought.id))) return absent()
    if (extent === 'here') return failed(new FmtpError('FMTP_NOT_HERE'))
    if (extent === 'all' && hops.length > limits.parentsDeep) throw new FmtpError('FMTP_TOO_FAR', `${hops}`)
    if (standing.role === 'client' && extent === 'all')
      return climbFor(sought, asker, { range, user: standing.name })
    const carrying = { asker, by: askingOf(standing), hops, extent: extent === 'below' ? extent : undefined }
    return carry(sought, carrying, range)
  }

  function askingOf(standing: Standing): Asking {
    if (standing.role === 'guest') return { who: standing.remote, isChild: false }
    if (standing.role === 'client') return { who: standing.name, isChild: true }
    const who = domainOf(standing.name)
    return { who, isChild: ports.isChild(who) }
  }
}

interface Carrying {
  readonly asker: Asker
  readonly by: Asking
  readonly hops?: readonly Domain[]
  readonly extent?: 'below' | undefined
}

async function answerOf(piece: Promise<Piece>, first: number): Promise<Answer> {
  try {
    return pieceAnswer(await piece, first)
  } catch (thrown) {
    return failed(thrown)
  }
}

/** The bytes that are asked for: without any the first piece. @throws {FmtpError} FMTP_BAD_FRAME */
function rangeOf({ range }: RequestFrame): PieceQuery['range'] {
  const [first = 0, last = first + limits.blobPieceBytes - 1] = range ?? []
  if (first > last || last - first >= limits.blobPieceBytes)
    throw new FmtpError('FMTP_BAD_FRAME', `range ${first} to ${last}`)
  return [first, last]
}

function pieceAnswer({ bytes, total }: Piece, first: number): Answer {
  const range = bytes.length === 0 ? {} : { range: [first, first + bytes.length - 1] }
  return { outcome: 'found', bytes: bytes.toString('base64'), ...range, total }
}

export function absent(): Answer {
  return { ...failureAnswer(new FmtpError('FMTP_ABSENT')), outcome: 'absent' }
}

/** What its home says there is not is absent; a busy server stays busy; all else says nothing about existence. */
function failed(thrown: unknown): Answer {
  const answer = failureAnswer(thrown)
  if (answer.code === 'FMTP_ABSENT') return absent()
  const isBusy = answer.code === 'FMTP_BUSY' || isComing(toFmtpError(thrown))
  return isBusy ? answer : { ...answer, outcome: 'unreachable' }
}
