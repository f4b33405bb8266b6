/**
 * Blobs that go through here (protocol §9.9, §10.7): up for our children, down to them for everybody. A blob comes whole, once,
 * whoever waits for it, is held against its name and kept in the cache; nobody is given a byte of it who has not shown, to us or to
 * the home, that the object may be seen.
 */

import type { Clock } from '../../objects/clock.ts'
import { sha256Text } from '../../objects/seals/keys.ts'
import { toldBytes } from '../../objects/store/attachments.ts'
import { cameFrom, keepCarried, noteCarriedUse } from '../../objects/store/blobs/blob-cache.ts'
import type { Blobs } from '../../objects/store/blobs/blobs.ts'
import { keyOf } from '../../objects/store/layout.ts'
import type { Store } from '../../objects/store/store.ts'
import type { Step } from '../../routing/ladder.ts'
import type { AskPiece } from '../../routing/lookup/blob-pieces.ts'
import type { Piece, PieceQuery } from '../../routing/lookup/piece.ts'
import { within } from '../../routing/with-timeout.ts'
import { FmtpError, toFmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import { type Address, type Domain, domainOf, type ObjectId, ownerOf } from '../../schemas/text/names.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'
import { type Asking, Places } from './asker-slots.ts'
import { fill } from './download.ts'
import { type Turns, turnOf } from './keyed-lock.ts'
import { ownLane } from './slots.ts'
import type { Asker } from './user-blobs.ts'

export interface CarrierPorts {
  readonly store: Store
  readonly blobs: Blobs
  readonly clock: Clock
  readonly turns: Turns
  readonly ask: AskPiece
  /** In whose name domains are called. */
  readonly as: Domain
  readonly blobBytes: number
  readonly cacheBytes: number
  /** Bytes of a piece, so that the frame with it is within our limit. */
  readonly pieceBytes: number
  /** Throws FMTP_FULL where the disk has no room for so many bytes. */
  requireRoom(bytes: number): void
  /** Whether this asker may have the blob for the sake of an object that is here. */
  mayHaveFor(sha256: string, id: ObjectId, asker: Asker): boolean
  /** A blob was kept, and takes room of the cache. */
  onKept(): void
  onStep(about: string, step: Step): void
  onEvent(event: string, record: Readonly<Record<string, unknown>>): void
  onFailed(thrown: unknown): void
}

export interface CarryQuery {
  readonly blob: string
  readonly id: ObjectId
  readonly range: PieceQuery['range']
  readonly asker: Asker
  /** Who asks us for it. */
  readonly by: Asking
  readonly hops: readonly Domain[]
  readonly extent: 'below' | undefined
}

interface Transfer {
  readonly who: string
  readonly work: Promise<void>
  /** Who waits for it now, and until when it goes on without. */
  waiting: number
  wantedUntilMs: number
}

const proofsMost = 10_000
const againMs = 1000

export class Carrier implements AsyncDisposable {
  readonly #ports: CarrierPorts
  readonly #places = new Places()
  /** Who has shown to the home that a blob is theirs to have: how many bytes it said, and until when that counts. */
  readonly #proofs = new BoundedMap<string, { readonly bytes: number; readonly untilMs: number }>(proofsMost)
  readonly #transfers = new Map<string, Transfer>()
  readonly #closing = new AbortController()

  constructor(ports: CarrierPorts) {
    this.#ports = ports
  }

  /** True where a blob of an object's domain is in the cache. */
  has(blob: string, id: ObjectId): boolean {
    return this.#ports.store.database.get(keyOf.carried(blob, domainOf(ownerOf(id)))) !== undefined
  }

  /**
   * @throws {FmtpError} FMTP_ABSENT where the home says so; FMTP_RATE; FMTP_BUSY while it is on its way; FMTP_BLOB_TOO_LARGE, FMTP_FULL;
   * or why it does not come
   */
  give(query: CarryQuery): Promise<Piece> {
    return this.#places.use(query.by, () => this.#give(query))
  }

  async #give(query: CarryQuery): Promise<Piece> {
    const { blob, id, range } = query
    const proven = this.#findProof(query)
    // A question for the sake of the answer needs no blob.
    if (proven === undefined && range[0] === range[1]) return this.#prove(query)
    const bytes = proven ?? (await this.#prove({ ...query, range: [0, 0] })).total
    if ((await this.#findHere(query)) === undefined) {
      if (range[0] === range[1]) return this.#ask(query, range)
      await this.#wait(query, bytes)
    }
    const total = await this.#findHere(query)
    if (total === undefined) throw new FmtpError('FMTP_NOT_HERE', `${blob} of ${id}`)
    const { store, blobs, clock, onFailed } = this.#ports
    noteCarriedUse(blob, domainOf(ownerOf(id)), clock.now(), store.database).catch(onFailed)
    return readPiece(blobs, { blob, range, total })
  }

  /** What the home said of this asker a moment ago, or what an object that is here says. */
  #findProof(query: CarryQuery): number | undefined {
    const { store, clock, mayHaveFor } = this.#ports
    const { blob, id, asker } = query
    const remembered = this.#proofs.get(proofName(query))
    if (remembered !== undefined && clock.now() < remembered.untilMs) return remembered.bytes
    // A copy that was looked up long ago says little of who may see it today.
    const fetchedAtMs = store.findFetchedAtMs(id)
    if (fetchedAtMs !== undefined && clock.now() - fetchedAtMs > limits.userStaleMs) return undefined
    const object = store.findObject(id)
    return object !== undefined && mayHaveFor(blob, id, asker) ? toldBytes(object, blob) : undefined
  }

  /** Asks whoever has it for this asker: a piece that is given is the proof. */
  async #prove(query: CarryQuery): Promise<Piece> {
    const piece = await this.#ask(query, query.range)
    const untilMs = this.#ports.clock.now() + limits.proofMs
    this.#proofs.set(proofName(query), { bytes: piece.total, untilMs })
    return piece
  }

  #ask({ blob, id, asker, hops, extent }: CarryQuery, range: PieceQuery['range']): Promise<Piece> {
    const query = { blob, id, secret: asker.secret, for: asker.viewers as readonly Address[], range }
    const { as, onStep } = this.#ports
    return this.#ports.ask(query, { as, hops, extent, onStep: step => onStep(id, step) })
  }

  async #findHere({ blob, id }: CarryQuery): Promise<number | undefined> {
    const { store, blobs } = this.#ports
    const isHere = await cameFrom(blob, domainOf(ownerOf(id)), store.database)
    return isHere ? blobs.findBytes(blob) : undefined
  }

  /** Until it is here, or for a while. */
  async #wait(query: CarryQuery, bytes: number): Promise<void> {
    const { clock } = this.#ports
    const transfer = this.#transfer(query, bytes)
    transfer.waiting++
    const tooLong = (): FmtpError =>
      new FmtpError('FMTP_BUSY', `${query.blob} is on its way`, { retryAfterMs: againMs })
    try {
      await within(transfer.work, limits.carryMs, clock, tooLong)
    } catch (thrown) {
      const error = toFmtpError(thrown)
      // Who came first for it may have it no more: that says nothing of this asker.
      throw error.code === 'FMTP_ABSENT' ? new FmtpError('FMTP_NOT_HERE', error.message) : error
    } finally {
      transfer.waiting--
      transfer.wantedUntilMs = clock.now() + limits.wantedMs
    }
  }

  /** One for all who wait. It goes on for a while when nobody does any more: who asked comes back for it. */
  #transfer(query: CarryQuery, bytes: number): Transfer {
    const { who, isChild } = query.by
    const name = turnOf(query.blob, domainOf(ownerOf(query.id)))
    const running = this.#transfers.get(name)
    if (running !== undefined) return running
    const own = [...this.#transfers.values()].filter(each => each.who === who).length
    const most = isChild ? limits.carriedAtOnce / 2 : limits.piecesPerPeer
    if (this.#transfers.size >= limits.carriedAtOnce || own >= most || this.#closing.signal.aborted)
      throw new FmtpError('FMTP_BUSY', `${own} blobs come for ${who}`, { retryAfterMs: againMs })
    const isWanted = (): boolean => transfer.waiting > 0 || this.#ports.clock.now() < transfer.wantedUntilMs
    const work = this.#bring(query, bytes, isWanted).finally(() => this.#transfers.delete(name))
    // What was told of it may have been wrong: that is asked anew.
    work.catch(() => this.#proofs.delete(proofName(query)))
    const transfer: Transfer = { who, work, waiting: 0, wantedUntilMs: Number.POSITIVE_INFINITY }
    this.#transfers.set(name, transfer)
    return transfer
  }

  async #bring(query: CarryQuery, bytes: number, isWanted: () => boolean): Promise<void> {
    const { store, blobs, clock, turns, onEvent, onKept } = this.#ports
    const { blob, id, by } = query
    const domain = domainOf(ownerOf(id))
    if (bytes > Math.min(this.#ports.blobBytes, this.#ports.cacheBytes))
      throw new FmtpError('FMTP_BLOB_TOO_LARGE', `${bytes} bytes`)
    const lane = ownLane(this.#closing.signal)
    await turns.run(turnOf(blob, domain), async before => {
      if (before !== undefined) await lane.wait(before)
      if ((await this.#findHere(query)) !== undefined) return
      this.#ports.requireRoom(bytes)
      await using incoming = await blobs.resume(blob, domain, bytes)
      await fill(incoming, {
        clock,
        pieceBytes: this.#ports.pieceBytes,
        bytes,
        ask: range => {
          if (!isWanted()) throw new FmtpError('FMTP_TIMEOUT', 'nobody comes back for it')
          return lane.wait(this.#ask(query, range))
        },
        pause: ms => lane.wait(clock.sleep(ms, this.#closing.signal)),
      })
      await incoming.finish(found =>
        keepCarried({ sha256: blob, domain, bytes: found }, clock.now(), store.database),
      )
      onEvent('blob.carried', { id, sha256: blob, domain, bytes, for: by.who })
      onKept()
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    await Promise.allSettled([...this.#transfers.values()].map(({ work }) => work))
  }
}

/** Those bytes of a range that a blob of `total` bytes has. */
export async function readPiece(
  blobs: Pick<Blobs, 'read'>,
  { blob, range: [start, last], total }: ReadQuery,
): Promise<Piece> {
  const end = Math.min(last, total - 1)
  const chunks: Uint8Array[] = []
  if (start <= end) for await (const chunk of blobs.read(blob, { start, end })) chunks.push(chunk)
  return { bytes: Buffer.concat(chunks), total }
}

interface ReadQuery extends Pick<CarryQuery, 'blob' | 'range'> {
  readonly total: number
}

/** Short, whatever is asked for whom. */
function proofName({ blob, id, asker: { secret = '', viewers }, extent }: CarryQuery): string {
  return sha256Text(JSON.stringify([blob, id, secret, extent ?? '', ...[...viewers].sort()]))
}
