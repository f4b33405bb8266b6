/**
 * Blobs of our users (protocol §9.8): who may put them here and how many, who may have them, and which nobody needs any
 * more. The bytes themselves are behind the port `Blobs`.
 */

import { timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../objects/clock.ts'
import { type Attached, isProven } from '../../objects/store/attachments.ts'
import type { Blobs } from '../../objects/store/blobs/blobs.ts'
import { pullKeyOf } from '../../objects/store/blobs/fetch-queue.ts'
import { partialName } from '../../objects/store/blobs/partials.ts'
import { keyOf, lastPart, listOf, rangeOf } from '../../objects/store/layout.ts'
import { parseRow } from '../../objects/store/row.ts'
import type { Store } from '../../objects/store/store.ts'
import { untilWritten } from '../../objects/store/until-written.ts'
import { hasEnded } from '../../objects/version.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import { type Address, domainOf, type ObjectId, ownerOf } from '../../schemas/text/names.ts'

export interface ShelfPorts {
  readonly store: Store
  readonly blobs: Blobs
  readonly clock: Clock
  readonly blobBytes: number
  readonly userBlobBytes: number
  /** Throws FMTP_FULL where the disk has no room for so many bytes. */
  requireRoom(bytes: number): void
  /** Throws FMTP_ACCOUNT_GONE of a user whose account was deleted. */
  requireHere(user: Address): void
  /** Whether all of these viewers, or where there are none a guest, may see an object. */
  maySee(id: ObjectId, viewers: readonly string[]): boolean
}

export interface FoundBlob {
  readonly bytes: number
  readonly format: string
  readonly name?: string
  readonly isPublic: boolean
}

export interface Shelf {
  /**
   * Takes bytes of a user of ours. True where they were not here before.
   * @throws {FmtpError} FMTP_BLOB_HASH, FMTP_BLOB_TOO_LARGE, FMTP_NO_ROOM, FMTP_FULL
   */
  put(sha256: string, user: Address, upload: Upload): Promise<boolean>
  /** A blob for who knows its secret or may see an object that names it. */
  find(sha256: string, by: Asker): Promise<FoundBlob | undefined>
  /** The same for the sake of one object. */
  findAs(sha256: string, id: ObjectId, by: Asker): Promise<FoundBlob | undefined>
  /** An object of another domain for whose sake this asker may have the blob, once it has come from there. */
  findComing(sha256: string, by: Asker): Promise<ObjectId | undefined>
  /** Whether this asker may have the blob for the sake of that object, whether it came or not. */
  mayHaveFor(sha256: string, id: ObjectId, by: Asker): boolean
  read: Blobs['read']
  /** The text of the blob's key, where its author has it or may have it. */
  findFor(
    sha256: string,
    by: { readonly secret: string | undefined; readonly author: Address },
  ): Promise<string | undefined>
  /** Removes what no object names any more, and what nobody named in a day. Resolves with how many. */
  sweep(): Promise<number>
}

export interface Upload {
  readonly source: AsyncIterable<Uint8Array>
  /** What the sender says that will come. */
  readonly bytes: number | undefined
}

export interface Asker {
  readonly secret: string | undefined
  /** Who will see it: all of them must be allowed to. None: a guest. */
  readonly viewers: readonly string[]
}

/** Objects that are looked at for one question about a blob. */
const claimsMost = 1000
const uploadsMost = 4
const uploadsAgainMs = 1000

export function createShelf(ports: ShelfPorts): Shelf {
  const { store, blobs, clock } = ports
  /** Uploads of each user: what they take of the disk is counted when they end. */
  const underWay = new Map<Address, number>()
  const { database } = store

  async function claimsOn(sha256: string): Promise<readonly (readonly [id: ObjectId, claim: Attached])[]> {
    const rows = await database.scan(rangeOf('attached', sha256), { limit: claimsMost })
    return rows.map(([key, value]) => [lastPart(key) as ObjectId, JSON.parse(value) as Attached])
  }

  async function findClaim(sha256: string, asker: Asker): Promise<Attached | undefined> {
    for (const [id, claim] of await claimsOn(sha256))
      if (isProven(sha256, id, claim, database) && mayHave(id, claim, asker)) return claim
    return undefined
  }

  function mayHave(id: ObjectId, claim: Attached, { secret, viewers }: Asker): boolean {
    const isTold = secret !== undefined && claim.secret !== undefined && isSame(secret, claim.secret)
    if (isTold && !isOver(id)) return true
    return ports.maySee(id, []) || (viewers.length > 0 && ports.maySee(id, viewers))
  }

  function claimOf(sha256: string, id: ObjectId): Attached | undefined {
    const text = database.get(keyOf.attached(sha256, id))
    return text === undefined ? undefined : parseRow<Attached>(text)
  }

  /** Who has the secret of something that has ended has nothing. */
  function isOver(id: ObjectId): boolean {
    const object = store.findObject(id)
    return object === undefined || hasEnded(object, clock.now())
  }

  async function keep(sha256: string, user: Address, bytes: number): Promise<void> {
    const nowMs = clock.now()
    await untilWritten(async () => {
      ports.requireHere(user)
      const uploaded = database.get(keyOf.uploaded(sha256, user))
      const used = database.head(listOf.blobs(user)).bytes
      if (uploaded === undefined && used + bytes > ports.userBlobBytes)
        throw new FmtpError('FMTP_NO_ROOM', `${used} of ${ports.userBlobBytes} bytes used`)
      const key = keyOf.uploaded(sha256, user)
      const blob = database.get(keyOf.blob(sha256))
      const [isWritten] = await database.commit([
        {
          ...(uploaded === undefined ? { absent: [key] } : { equals: [[key, uploaded]] }),
          puts: [
            [key, String(bytes)],
            [keyOf.blob(sha256), blob ?? JSON.stringify({ bytes, atMs: nowMs })],
            [keyOf.loose(sha256), String(nowMs)],
          ],
          adjusts: uploaded === undefined ? [{ list: listOf.blobs(user), bytes }] : [],
        },
      ])
      return isWritten === true || undefined
    })
  }

  async function put(sha256: string, user: Address, { source, bytes }: Upload): Promise<boolean> {
    const isNew = database.get(keyOf.blob(sha256)) === undefined
    const used = database.head(listOf.blobs(user)).bytes
    const isCounted = database.get(keyOf.uploaded(sha256, user)) !== undefined
    if (bytes !== undefined && bytes > ports.blobBytes)
      throw new FmtpError('FMTP_BLOB_TOO_LARGE', `${bytes} bytes are told`)
    if (!isCounted && used + (bytes ?? 0) > ports.userBlobBytes)
      throw new FmtpError('FMTP_NO_ROOM', `${used} of ${ports.userBlobBytes} bytes used`)
    ports.requireRoom(bytes ?? 0)
    const others = underWay.get(user) ?? 0
    if (others >= uploadsMost)
      throw new FmtpError('FMTP_RATE', `${others} uploads`, { retryAfterMs: uploadsAgainMs })
    underWay.set(user, others + 1)
    try {
      await blobs.put(sha256, source, {
        bytesMost: ports.blobBytes,
        keep: found => keep(sha256, user, found),
      })
    } finally {
      const left = (underWay.get(user) ?? 1) - 1
      if (left > 0) underWay.set(user, left)
      else underWay.delete(user)
    }
    return isNew
  }

  async function find(sha256: string, asker: Asker): Promise<FoundBlob | undefined> {
    return describeBlob(sha256, await findClaim(sha256, asker))
  }

  async function describeBlob(sha256: string, claim: Attached | undefined): Promise<FoundBlob | undefined> {
    if (claim === undefined) return undefined
    const bytes = await blobs.findBytes(sha256)
    if (bytes === undefined) return undefined
    const { format, name, isPublic = false } = claim
    return { bytes, format, isPublic, ...(name === undefined ? {} : { name }) }
  }

  async function sweep(): Promise<number> {
    let removed = 0
    const untilMs = clock.now() - limits.looseMs
    const rows = await database.scan(rangeOf('loose'), { limit: sweptMost })
    for (const [key, since] of rows) {
      if (Number(since) > untilMs) continue
      if (await removeLoose(lastPart(key), since)) removed++
    }
    await forgetPartials()
    return removed
  }

  /** Of what is not to come any more nothing stays. */
  async function forgetPartials(): Promise<void> {
    const rows = await database.scan(rangeOf('pull'), { limit: sweptMost })
    if (rows.length === sweptMost) return
    const names = rows.map(([key]) => {
      const { sha256, id } = pullKeyOf(key)
      return partialName(sha256, domainOf(ownerOf(id as ObjectId)))
    })
    await blobs.keepPartials(new Set(names))
  }

  /** It went through here, and the cache keeps it for who asks next. */
  async function isCarried(sha256: string): Promise<boolean> {
    return (await database.scan(rangeOf('carried', sha256), { limit: 1 })).length > 0
  }

  /** Says first that it is coming, so that nobody names the blob from then on; then looks, then removes. */
  async function removeLoose(sha256: string, since: string): Promise<boolean> {
    const [leaving, loose] = [keyOf.blobLeaving(sha256), keyOf.loose(sha256)]
    const [isLeaving] = await database.commit([{ equals: [[loose, since]], puts: [[leaving, '']] }])
    if (isLeaving !== true) return false
    try {
      const owners = new Set((await claimsOn(sha256)).map(([id]) => id.slice(id.indexOf('.') + 1)))
      const uploads = await database.scan(rangeOf('uploaded', sha256), { limit: claimsMost })
      const leavingUploads = uploads.filter(([key]) => !owners.has(lastPart(key)))
      const release = {
        equals: [[loose, since] as const, ...leavingUploads],
        // Together: what is left of a crash is only what the next look at what is loose finishes.
        dels: [loose, leaving, ...leavingUploads.map(([key]) => key)],
        adjusts: leavingUploads.map(([key, bytes]) => ({
          list: listOf.blobs(lastPart(key)),
          bytes: -Number(bytes),
        })),
      }
      if (owners.size > 0 || (await isCarried(sha256))) {
        await database.commit([release])
        return false
      }
      return await blobs.remove(sha256, async () => {
        const [isWritten] = await database.commit([
          { ...release, dels: [...release.dels, keyOf.blob(sha256)] },
        ])
        return isWritten === true
      })
    } finally {
      if (database.get(leaving) !== undefined) await database.commit([{ dels: [leaving] }])
    }
  }

  return {
    put,
    find,
    read: (sha256, range) => blobs.read(sha256, range),
    async findFor(sha256, { secret, author }) {
      const text = database.get(keyOf.blob(sha256))
      if (text === undefined) return undefined
      const hasUploaded = database.get(keyOf.uploaded(sha256, author)) !== undefined
      const mayName = hasUploaded || (await findClaim(sha256, { secret, viewers: [author] })) !== undefined
      return mayName ? text : undefined
    },
    findAs(sha256, id, asker) {
      const claim = claimOf(sha256, id)
      const isGiven =
        claim !== undefined && isProven(sha256, id, claim, database) && mayHave(id, claim, asker)
      return describeBlob(sha256, isGiven ? claim : undefined)
    },
    async findComing(sha256, asker) {
      const claims = await claimsOn(sha256)
      return claims.find(([id, claim]) => claim.isProven !== true && mayHave(id, claim, asker))?.[0]
    },
    mayHaveFor(sha256, id, asker) {
      const claim = claimOf(sha256, id)
      return claim !== undefined && mayHave(id, claim, asker)
    },
    sweep,
  }
}

const sweptMost = 10_000

function isSame(left: string, right: string): boolean {
  const [one, other] = [Buffer.from(left), Buffer.from(right)]
  return one.length === other.length && timingSafeEqual(one, other)
}
