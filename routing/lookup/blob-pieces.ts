/**
 * The ladder of pieces of blobs (protocol §9.9): a child below, by the connection that leads down to it; the domain of the
 * object's owner, or who stands for it; the parent. What comes is a piece as somebody gave it: only who has all of them can
 * hold them against the hash.
 */
import type { Clock } from '../../objects/clock.ts'
import { FmtpError, toFmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import { type Domain, domainOf, ownerOf } from '../../schemas/text/names.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'
import type { Reach } from '../connect/connect.ts'
import type { Peer } from '../connect/peer.ts'
import { askOver } from '../connect/retry-once.ts'
import { climb, type Note, type Rung, type Step } from '../ladder.ts'
import { type Family, requireBelow } from '../parents/hierarchy.ts'
import { nextHops, reachParent } from './parent-rung.ts'
import { type Piece, type PieceQuery, type PieceWay, requestPiece } from './piece.ts'

export interface PiecesPorts {
  readonly reach: Pick<Reach, 'front'>
  readonly family: Family
  readonly clock: Clock
}

export interface PieceClimb {
  /** In whose name the domain is called. */
  readonly as: Domain
  /** The servers through which the question came here (protocol §10.7). */
  readonly hops?: readonly Domain[]
  /** `below`: no further than to a child. Default: the whole ladder. */
  readonly extent?: 'below' | undefined
  /** How the domain is reached, where that is more than a call. */
  readonly reach?: (note: Note) => Promise<Peer>
  readonly onStep?: (step: Step) => void
}

/**
 * @throws {FmtpError} FMTP_ABSENT where the home says so; FMTP_NOT_HERE, FMTP_UNREACHABLE; the failure of the last rung, or of
 * the one that asks to come back in a moment
 */
export type AskPiece = (query: PieceQuery, climb: PieceClimb) => Promise<Piece>

/** A word that ends the climb: there is none, or it is on its way. */
type Found = Piece | FmtpError

const domainsMost = 10_000
/** Who asks us to come back so soon is about to have it. */
const momentMs = 10_000

/** True for the word of somebody who is about to have what was asked for. */
export function isComing({ code, retryAfterMs }: FmtpError): boolean {
  return (
    (code === 'FMTP_BUSY' || code === 'FMTP_RATE') && retryAfterMs !== undefined && retryAfterMs <= momentMs
  )
}

export function createAskPiece({ reach, family, clock }: PiecesPorts): AskPiece {
  /** The rung that gave the last piece of a domain: the others of a blob need not fail where the first one failed. */
  const ways = new BoundedMap<string, { readonly rung: string; readonly untilMs: number }>(domainsMost)

  function belowRung(query: PieceQuery, { hops = [] }: PieceClimb): Rung<Found> {
    const domain = domainOf(ownerOf(query.id))
    return {
      name: 'below',
      async climb(note) {
        if (!family.isChild(domain)) return undefined
        if (family.findBelow(domain) === undefined) {
          note.add('connection', 'miss', { domain })
          return undefined
        }
        return askOver(
          async () => requireBelow(family, domain),
          peer => {
            if (hops.includes(peer.name as Domain))
              throw new FmtpError('FMTP_LOOP', `${peer.name} is among ${hops}`)
            return ask(peer, query, note, { hops: nextHops(hops, peer.as) })
          },
        )
      },
    }
  }

  function domainRung(query: PieceQuery, options: PieceClimb): Rung<Found> {
    const domain = domainOf(ownerOf(query.id))
    return {
      name: 'domain',
      climb: note =>
        askOver(
          () => options.reach?.(note) ?? reach.front(domain, options.as, note),
          peer => ask(peer, query, note),
        ),
    }
  }

  function parentRung(query: PieceQuery, { hops = [] }: PieceClimb): Rung<Found> {
    const domain = domainOf(ownerOf(query.id))
    return {
      name: 'parent lookup',
      async climb(note) {
        const parent = family.findParent(domain)
        if (parent === undefined) return undefined
        if (hops.includes(parent)) {
          note.add('ask', 'FMTP_LOOP', { id: query.id, parent, hops })
          throw new FmtpError('FMTP_LOOP', `${parent} is among ${hops}`)
        }
        const found = await askOver(
          () => reachParent(family, parent, note, clock),
          peer => ask(peer, query, note, { effort: 'lookup', hops: nextHops(hops, peer.as) }),
        ).catch(orMiss)
        // Only the home may say that there is none.
        return found instanceof FmtpError && found.code === 'FMTP_ABSENT' ? undefined : found
      },
    }
  }

  function ask(peer: Peer, query: PieceQuery, note: Note, way?: PieceWay): Promise<Found> {
    const asked = { id: query.id, blob: query.blob, range: query.range, host: peer.host }
    return note.step('request', asked, () => requestPiece(peer, query, way)).catch(orWord)
  }

  return async (query, options) => {
    const key = `${options.as} ${domainOf(ownerOf(query.id))}`
    const rungs = [
      belowRung(query, options),
      ...(options.extent === 'below' ? [] : [domainRung(query, options), parentRung(query, options)]),
    ]
    const way = ways.get(key)
    const isKnown = way !== undefined && clock.now() < way.untilMs
    const first = isKnown ? rungs.filter(({ name }) => name === way.rung) : []
    const ordered = [...first, ...rungs.filter(rung => !first.includes(rung))]
    let lie: FmtpError | undefined
    const onStep = (step: Step): void => {
      if (step.outcome === 'FMTP_BLOB_PIECE') lie = new FmtpError(step.outcome, String(step.detail.reason))
      options.onStep?.(step)
    }
    const { found, error, rung } = await climb(ordered, { clock, onStep })
    // That somebody lied is worse than that others are not there.
    if (found === undefined && lie !== undefined) throw lie
    if (found === undefined)
      throw error ?? new FmtpError(options.extent === 'below' ? 'FMTP_NOT_HERE' : 'FMTP_UNREACHABLE')
    if (found instanceof FmtpError) throw found
    if (rung !== undefined) ways.set(key, { rung, untilMs: clock.now() + limits.wayMs })
    return found
  }
}

/** What ends the climb, as a word; all else fails the rung. */
function orWord(thrown: unknown): FmtpError {
  const error = toFmtpError(thrown)
  if (error.code === 'FMTP_ABSENT' || isComing(error)) return error
  throw error
}

/** A parent that has nothing has not failed. */
function orMiss(thrown: unknown): undefined {
  if (toFmtpError(thrown).code === 'FMTP_NOT_HERE') return undefined
  throw thrown
}
