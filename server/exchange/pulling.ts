/**
 * Brings one blob of another domain (protocol §9.9): piece by piece from the home of the object that names it, as long as
 * somebody here has that object and room for it. Nobody sees a byte before all of them are those of the name.
 */
import { type Attached, attachedTo, type Pulled, toldBytes } from '../../objects/attached.ts'
import type { Blobs, Incoming } from '../../objects/blobs.ts'
import { parseBoxed } from '../../objects/box.ts'
import type { Clock } from '../../objects/clock.ts'
import { keyOf, lastPart, listOf, rangeOf } from '../../objects/layout.ts'
import { parseRow } from '../../objects/row.ts'
import type { Store } from '../../objects/store.ts'
import { untilWritten } from '../../objects/until-written.ts'
import { hasEnded } from '../../objects/version.ts'
import type { Peer } from '../../routing/peer.ts'
import { requestPiece } from '../../routing/piece.ts'
import { type FailureCode, FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import { type Address, type Domain, domainOf, type ObjectId, ownerOf } from '../../schemas/names.ts'
import type { Lane } from './lanes.ts'

export interface PullingPorts {
  readonly store: Store
  readonly blobs: Blobs
  readonly clock: Clock
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
  /** A proven connection to the home. */
  reach(as: Domain): Promise<Peer>
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

const claimsMost = 1000
/** With these nothing of what came is of any use. */
const liesAbout: ReadonlySet<FailureCode> = new Set(['FMTP_BLOB_PIECE', 'FMTP_BLOB_SIZE'])

export function createPulling(ports: PullingPorts): Pulling {
  const { store, blobs, clock } = ports
  const { database } = store
  /** One at a time brings a blob from a domain; who comes second finds it. */
  const turns = new Map<string, Promise<unknown>>()

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

  /** Another object of that domain brought it, and it is here still: the domain has shown to have the bytes. */
  async function findFromThere(sha256: string, domain: Domain): Promise<number | undefined> {
    const rows = await database.scan(rangeOf('pulled', sha256), { limit: claimsMost })
    const isSameHome = rows.some(([key]) => domainOf(ownerOf(lastPart(key) as ObjectId)) === domain)
    return isSameHome ? blobs.findBytes(sha256) : undefined
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

  /** All that is missing, each piece as it is asked for. Bounded in bytes by what the object tells, and in time. */
  async function fill(incoming: Incoming, sha256: string, id: ObjectId, wanted: Wanted, call: PullCall) {
    const [holder] = wanted.holders
    const peer = await call.lane.wait(call.reach(domainOf(holder)))
    const endMs = clock.now() + limits.pullMs
    do {
      const first = incoming.bytes
      const query = { blob: sha256, id, secret: wanted.claim.secret, for: [holder] }
      const range = [first, first + ports.pieceBytes - 1] as const
      const piece = await call.lane.wait(requestPiece(peer, { ...query, range }))
      if (piece.total !== wanted.bytes)
        throw new FmtpError('FMTP_BLOB_SIZE', `${piece.total} bytes, ${wanted.bytes} are told`)
      await incoming.append(piece.bytes)
      if (piece.bytes.length > 0) call.onPiece?.()
      if (clock.now() > endMs) throw new FmtpError('FMTP_TIMEOUT', `${incoming.bytes} bytes came`)
    } while (incoming.bytes < wanted.bytes)
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
    let isKept = false
    try {
      if (incoming.bytes < wanted.bytes || wanted.bytes === 0) await fill(incoming, sha256, id, wanted, call)
      await incoming.finish(async bytes => {
        isKept = await keep(sha256, id, bytes)
        // The bytes may be here for others, who need them.
        return isKept || database.get(keyOf.blob(sha256)) !== undefined
      })
    } catch (thrown) {
      if (thrown instanceof FmtpError && liesAbout.has(thrown.code)) await incoming.drop()
      throw thrown
    }
    return isKept ? 'pulled' : 'unwanted'
  }

  return async (sha256, id, call) => {
    const name = `${sha256} ${domainOf(ownerOf(id))}`
    const before = turns.get(name)
    const work = async (): Promise<'pulled' | 'unwanted'> => {
      if (before !== undefined) await call.lane.wait(before.catch(() => undefined))
      return bring(sha256, id, call)
    }
    const turn = work()
    turns.set(name, turn)
    try {
      return await turn
    } finally {
      if (turns.get(name) === turn) turns.delete(name)
    }
  }
}
