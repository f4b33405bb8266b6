/**
 * Brings one blob of another domain (protocol §9.9): piece by piece from the home of the object that names it, as long as
 * somebody here has that object and room for it. Nobody sees a byte before all of them are those of the name.
 */

import type { Clock } from '../../objects/clock.ts'
import { type Attached, attachedTo, type Pulled, toldBytes } from '../../objects/store/attachments.ts'
import { cameFrom } from '../../objects/store/blobs/blob-cache.ts'
import type { Blobs } from '../../objects/store/blobs/blobs.ts'
import { parseBoxed } from '../../objects/store/box.ts'
import { keyOf, listOf } from '../../objects/store/layout.ts'
import { parseRow } from '../../objects/store/row.ts'
import type { Store } from '../../objects/store/store.ts'
import { untilWritten } from '../../objects/store/until-written.ts'
import { hasEnded } from '../../objects/version.ts'
import type { Piece, PieceQuery } from '../../routing/lookup/piece.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { type Address, type Domain, domainOf, type ObjectId, ownerOf } from '../../schemas/text/names.ts'
import { fill } from './download.ts'
import { type Turns, turnOf } from './keyed-lock.ts'
import type { Lane } from './slots.ts'

export interface PullingPorts {
  readonly store: Store
  readonly blobs: Blobs
  readonly clock: Clock
  /** By blob and domain: one at a time brings a blob from there. */
  readonly turns: Turns
  readonly blobBytes: number
  readonly userBlobBytes: number
  /** Bytes of a piece, so that the frame with it is within our limit. */
  readonly pieceBytes: number
  /** Throws FMTP_FULL where the disk has no room for so many bytes. */
  requireRoom(bytes: number): void
}

/** How one attempt goes. */
export interface PullCall {
  readonly lane: Lane
  /** A piece, by the ladder of pieces. */
  ask(query: PieceQuery, as: Domain): Promise<Piece>
  /** Something came. */
  onPiece?(): void
}

/** Resolves when the blob is here, or when nobody wants it. @throws {FmtpError} why it is not */
export type Pulling = (sha256: string, id: ObjectId, call: PullCall) => Promise<'pulled' | 'unwanted'>

interface Wanted {
  /** Text of the claim, for the condition of the commit. */
  readonly claimText: string
  readonly claim: Attached
  /** Of the row that says that it was here, where its bytes are lost. */
  readonly pulledText: string | undefined
  readonly bytes: number
  /** Who has the object, the first who took it first. */
  readonly holders: readonly [Address, ...Address[]]
}

export function createPulling(ports: PullingPorts): Pulling {
  const { store, blobs, clock } = ports
  const { database } = store

  /** `undefined`: the blob is not named any more, or nobody here has the object. */
  async function findWanted(sha256: string, id: ObjectId): Promise<Wanted | undefined> {
    const claimText = database.get(keyOf.attached(sha256, id))
    const pulledText = database.get(keyOf.pulled(sha256, id))
    if (claimText === undefined) return undefined
    const claim = parseRow<Attached>(claimText)
    if (claim.isProven === true) return undefined
    const object = store.findObject(id)
    if (object === undefined || hasEnded(object, clock.now()) || !attachedTo(object).has(sha256))
      return undefined
    const boxes = await store.findHolders(id)
    const [first, ...others] = boxes
      .map(({ address, boxed }) => ({ address: address as Address, ...parseBoxed(boxed) }))
      .sort((one, other) => one.atMs - other.atMs)
      .map(({ address }) => address)
    if (first === undefined) return undefined
    return { claimText, claim, pulledText, bytes: toldBytes(object, sha256), holders: [first, ...others] }
  }

  /** Whose room it takes: of those who have the object, who took it first and has room. @throws {FmtpError} FMTP_NO_ROOM */
  function findPayer({ holders, bytes, pulledText }: Wanted): Address {
    if (pulledText !== undefined) return parseRow<Pulled>(pulledText).address as Address
    const hasRoom = (address: Address): boolean =>
      database.head(listOf.blobs(address)).bytes + bytes <= ports.userBlobBytes
    const payer = holders.find(hasRoom)
    if (payer === undefined) throw new FmtpError('FMTP_NO_ROOM', `${bytes} more bytes for ${holders[0]}`)
    return payer
  }

  /** Another object of that domain brought it, or it went through here, and is here still. */
  async function findFromThere(sha256: string, domain: Domain): Promise<number | undefined> {
    return (await cameFrom(sha256, domain, database)) ? blobs.findBytes(sha256) : undefined
  }

  /** Notes that so many bytes are here. False where nobody wants them any more. */
  function keep(sha256: string, id: ObjectId, bytes: number): Promise<boolean> {
    return untilWritten(async () => {
      const found = await findWanted(sha256, id)
      if (found === undefined) return false
      const wanted = { ...found, bytes }
      const [attached, pulled, blob] = [
        keyOf.attached(sha256, id),
        keyOf.pulled(sha256, id),
        keyOf.blob(sha256),
      ]
      const { claimText, pulledText } = wanted
      const here = database.get(blob)
      const address = findPayer(wanted)
      const [isWritten] = await database.commit([
        {
          equals: [
            [attached, claimText],
            ...(pulledText === undefined ? [] : [[pulled, pulledText] as const]),
            ...(here === undefined ? [] : [[blob, here] as const]),
          ],
          absent: [keyOf.blobLeaving(sha256), ...(pulledText === undefined ? [pulled] : [])],
          puts: [
            [pulled, pulledText ?? JSON.stringify({ address, bytes } satisfies Pulled)],
            [blob, here ?? JSON.stringify({ bytes, atMs: clock.now() })],
          ],
          adjusts: pulledText === undefined ? [{ list: listOf.blobs(address), bytes }] : [],
        },
      ])
      return isWritten === true || undefined
    })
  }

  async function bring(sha256: string, id: ObjectId, call: PullCall): Promise<'pulled' | 'unwanted'> {
    const wanted = await findWanted(sha256, id)
    if (wanted === undefined) return 'unwanted'
    const domain = domainOf(ownerOf(id))
    if (wanted.bytes > ports.blobBytes)
      throw new FmtpError('FMTP_BLOB_TOO_LARGE', `${wanted.bytes} bytes are told`)
    findPayer(wanted)
    const here = await findFromThere(sha256, domain)
    if (here !== undefined) return (await keep(sha256, id, here)) ? 'pulled' : 'unwanted'
    ports.requireRoom(wanted.bytes)
    await using incoming = await blobs.resume(sha256, domain, wanted.bytes)
    const [holder] = wanted.holders
    const query = { blob: sha256, id, secret: wanted.claim.secret, for: [holder] }
    await fill(incoming, {
      clock,
      pieceBytes: ports.pieceBytes,
      bytes: wanted.bytes,
      ask: range => call.lane.wait(call.ask({ ...query, range }, domainOf(holder))),
      pause: ms => call.lane.wait(clock.sleep(ms)),
      onPiece: call.onPiece,
    })
    let isKept = false
    await incoming.finish(async bytes => {
      isKept = await keep(sha256, id, bytes)
      // The bytes may be here for others, who need them.
      return isKept || database.get(keyOf.blob(sha256)) !== undefined
    })
    return isKept ? 'pulled' : 'unwanted'
  }

  return (sha256, id, call) =>
    ports.turns.run(turnOf(sha256, domainOf(ownerOf(id))), async before => {
      if (before !== undefined) await call.lane.wait(before)
      return bring(sha256, id, call)
    })
}
