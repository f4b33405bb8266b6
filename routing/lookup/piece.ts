/**
 * A piece of a blob from the home of the object that names it (protocol §9.9). What comes is held against what was asked for;
 * whether all pieces together are the blob only its hash says.
 */
import { FmtpError } from '../../schemas/failures.ts'
import type { Address, Domain, ObjectId } from '../../schemas/text/names.ts'
import { answerError } from '../../wire/pairing.ts'
import type { Peer } from '../connect/peer.ts'

export interface PieceQuery {
  readonly blob: string
  /** The object for whose sake it is asked. */
  readonly id: ObjectId
  readonly secret?: string | undefined
  /** Users who may see the object, for whom it is asked. */
  readonly for?: readonly Address[]
  /** First and last byte. */
  readonly range: readonly [first: number, last: number]
}

export interface Piece {
  readonly bytes: Buffer
  /** Of the whole blob. */
  readonly total: number
}

/** How far who is asked goes, and through whom the question came to it. */
export interface PieceWay {
  readonly effort?: 'own' | 'lookup'
  readonly hops?: readonly Domain[]
}

/** @throws {FmtpError} FMTP_BLOB_PIECE, FMTP_ABSENT, or why the peer does not give it */
export async function requestPiece(peer: Peer, query: PieceQuery, way: PieceWay = {}): Promise<Piece> {
  const { blob, id, secret, range } = query
  const { answer } = await peer.request({
    blob,
    id,
    range: [...range],
    effort: way.effort ?? 'own',
    ...(way.hops === undefined ? {} : { hops: [...way.hops] }),
    ...(secret === undefined ? {} : { secret }),
    ...(query.for === undefined || query.for.length === 0 ? {} : { for: [...query.for] }),
  })
  if (answer.outcome === 'absent') throw new FmtpError('FMTP_ABSENT', `${peer.name} does not have ${blob}`)
  if (answer.outcome !== 'found') throw answerError(answer)
  const { bytes: text = '', total } = answer
  const [first, last] = range
  if (total === undefined) throw new FmtpError('FMTP_BLOB_PIECE', 'without total')
  const wanted = Math.max(0, Math.min(last + 1, total) - first)
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length !== wanted || text.length !== 4 * Math.ceil(wanted / 3))
    throw new FmtpError('FMTP_BLOB_PIECE', `${bytes.length} bytes of ${wanted}`)
  if (wanted > 0 && (answer.range?.[0] !== first || answer.range[1] !== first + wanted - 1))
    throw new FmtpError('FMTP_BLOB_PIECE', `${answer.range} for ${first},${first + wanted - 1}`)
  return { bytes, total }
}
