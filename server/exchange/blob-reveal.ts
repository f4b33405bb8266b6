/**
 * Pieces of blobs over a connection (protocol §9.9): for the sake of one object, whose home is where they are looked for. A
 * ladder like that of objects: here, then the domain of the owner.
 */
import type { Clock } from '../../objects/clock.ts'
import { askOver } from '../../routing/asking.ts'
import { climb, type Rung, type Step } from '../../routing/ladder.ts'
import { type Piece, type PieceQuery, requestPiece } from '../../routing/piece.ts'
import type { Reach } from '../../routing/reach.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { RequestFrame } from '../../schemas/frame.ts'
import { limits } from '../../schemas/limits.ts'
import {
  type Address,
  type Domain,
  domainOf,
  type Name,
  type ObjectId,
  ownerOf,
} from '../../schemas/names.ts'
import { type Answer, failureAnswer, type Inquiry } from '../../wire/pairing.ts'
import type { Asker, Shelf } from './shelf.ts'
import type { Standing } from './standing.ts'

export interface BlobRevealPorts {
  readonly shelf: Shelf
  readonly reach: Reach
  readonly clock: Clock
  isOwn(name: Name): boolean
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

interface By {
  readonly standing: Standing
  /** Users for whom the session asks. */
  readonly viewers: readonly string[]
}

export type BlobReveal = (sought: SoughtBlob, inquiry: Inquiry, by: By) => Promise<Answer>

export function createBlobReveal(ports: BlobRevealPorts): BlobReveal {
  const { shelf } = ports

  async function findHere({ blob, id }: SoughtBlob, asker: Asker, range: PieceQuery['range']) {
    const found = await shelf.findAs(blob, id, asker)
    if (found === undefined) return undefined
    const { bytes: total } = found
    const [start, end] = [range[0], Math.min(range[1], total - 1)]
    const chunks: Uint8Array[] = []
    if (start <= end) for await (const chunk of shelf.read(blob, { start, end })) chunks.push(chunk)
    return pieceAnswer({ bytes: Buffer.concat(chunks), total }, start)
  }

  /** Passed on as it comes: only who has all pieces can hold them against the hash. */
  async function relay(query: PieceQuery, as: Domain): Promise<Answer> {
    const domain: Rung<Piece> = {
      name: 'domain',
      async climb(note) {
        return askOver(
          () => ports.reach.domain(domainOf(ownerOf(query.id)), as, note),
          peer =>
            note.step('request', { id: query.id, blob: query.blob, host: peer.host }, () =>
              requestPiece(peer, query),
            ),
        )
      },
    }
    const onStep = (step: Step): void => ports.onStep(query.id, step)
    const { found, error } = await climb([domain], { clock: ports.clock, onStep })
    return found === undefined ? failed(error) : pieceAnswer(found, query.range[0])
  }

  /** Where somebody here has the object its blob comes here whole, and is seen only when it is. */
  async function climbFor(
    sought: SoughtBlob,
    asker: Asker,
    { range, as }: { readonly range: PieceQuery['range']; readonly as: Domain },
  ): Promise<Answer> {
    const { blob, id } = sought
    if (!(shelf.mayHaveFor(blob, id, asker) && (await ports.isHeld(id)))) {
      const query = { blob, id, secret: asker.secret, for: asker.viewers as Address[], range }
      return relay(query, as)
    }
    try {
      await ports.bring(blob, id)
    } catch (thrown) {
      return failed(thrown)
    }
    return (await findHere(sought, asker, range)) ?? failed(new FmtpError('FMTP_NOT_HERE'))
  }

  return async (sought, inquiry, { standing, viewers }) => {
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
    if (standing.role !== 'client' || request.effort !== 'lookup')
      return failed(new FmtpError('FMTP_NOT_HERE'))
    return climbFor(sought, asker, { range, as: domainOf(standing.name) })
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
  return answer.code === 'FMTP_BUSY' ? answer : { ...answer, outcome: 'unreachable' }
}
