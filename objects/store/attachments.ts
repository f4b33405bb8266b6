/**
 * Which blobs an object names, and who may have them for its sake (protocol §9.8). The rows are written with the object
 * and go with it; a blob that no object names any more is loose, and is looked at later.
 */
import { type KindTraits, traitsOf } from '../../schemas/kinds/kinds.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { type Change, holdAs } from './change.ts'
import type { Database } from './engine/database.ts'
import { keyOf, listOf } from './layout.ts'
import { parseRow } from './row.ts'

/** One object's claim on a blob. */
export interface Attached {
  readonly format: string
  readonly name?: string
  /** Whoever says it may have the bytes. */
  readonly secret?: string
  /** True: the object is public, and so are the bytes. */
  readonly isPublic?: true
  /** True: a user of ours showed to have the bytes. What others name gives nobody anything. */
  readonly isProven?: true
}

interface Piece {
  readonly sha256: string
  readonly format: string
  readonly bytes: number
  readonly name?: string
  readonly secret?: string
}

type Carrier = Partial<FmtpObject> & {
  readonly attachments?: readonly Piece[]
  readonly avatar?: Piece
} & Partial<Piece>

/** An object of another domain whose home gave its blob, which takes room of who took the object first. */
export interface Pulled {
  readonly address: string
  readonly bytes: number
}

/** True where a claim counts: a user of ours, or the home of the object, showed to have the bytes. */
export function isProven(
  sha256: string,
  id: string,
  claim: Attached,
  database: Pick<Database, 'get'>,
): boolean {
  return claim.isProven === true || database.get(keyOf.pulled(sha256, id)) !== undefined
}

/** How many bytes an object says that a blob has. */
export function toldBytes(object: Omit<FmtpObject, 'encryptedKey' | 'hash'>, sha256: string): number {
  return piecesOf(object).find(piece => piece.sha256 === sha256)?.bytes ?? 0
}

/** The blobs that an object names, by SHA-256. */
export function attachedTo(object: Omit<FmtpObject, 'encryptedKey' | 'hash'>): ReadonlyMap<string, Attached> {
  const { kind, public: isOpen } = object
  const isPublic = isOpen === true || (isOpen !== false && traitsOf(kind).hasViews)
  const attached = new Map<string, Attached>()
  for (const { sha256, format = 'application/octet-stream', name, secret } of piecesOf(object)) {
    if (sha256 === undefined) continue
    attached.set(sha256, {
      format,
      ...(name === undefined ? {} : { name }),
      ...(secret === undefined ? {} : { secret }),
      ...(isPublic ? { isPublic } : {}),
    })
  }
  return attached
}

const ownBlobs: {
  readonly [B in KindTraits['ownBlob']]: (carrier: Carrier) => Partial<Piece> | undefined
} = {
  none: () => undefined,
  itself: carrier => carrier,
  avatar: ({ avatar }) => avatar,
}

function piecesOf(object: Omit<FmtpObject, 'encryptedKey' | 'hash'>): readonly Partial<Piece>[] {
  const carrier = object as Carrier
  const { deleted, attachments = [] } = carrier
  if (deleted === true) return []
  const own = ownBlobs[traitsOf(object.kind).ownBlob](carrier)
  return own === undefined ? attachments : [...attachments, own]
}

export interface Attaching {
  readonly before: Omit<FmtpObject, 'encryptedKey'> | undefined
  /** `undefined`: there is no object any more. */
  readonly object: FmtpObject | undefined
  readonly isProven: boolean
}

/** Moves the claims of an object from the version before to this one. */
export function attach(
  change: Change,
  id: string,
  { before, object, isProven }: Attaching,
  database: Pick<Database, 'get'>,
): void {
  const old = before === undefined ? new Map<string, Attached>() : attachedTo(before)
  const now = object === undefined ? new Map<string, Attached>() : attachedTo(object)
  for (const [sha256, attached] of now) {
    const claim: Attached = isProven ? { ...attached, isProven } : attached
    change.puts.push([keyOf.attached(sha256, id), JSON.stringify(claim)])
    if (old.has(sha256)) continue
    holdAs(change, keyOf.blobLeaving(sha256), undefined)
    if (database.get(keyOf.loose(sha256)) !== undefined) change.dels.push(keyOf.loose(sha256))
  }
  for (const sha256 of old.keys()) {
    if (now.has(sha256)) continue
    change.dels.push(keyOf.attached(sha256, id))
    release(change, sha256, id, database)
    if (database.get(keyOf.blob(sha256)) !== undefined) change.puts.push([keyOf.loose(sha256), '0'])
  }
}

/** Gives back the room of a blob that came with the object. One that comes at this very moment makes the write fail. */
function release(change: Change, sha256: string, id: string, database: Pick<Database, 'get'>): void {
  const key = keyOf.pulled(sha256, id)
  const text = database.get(key)
  holdAs(change, key, text)
  if (text === undefined) return
  const { address, bytes } = parseRow<Pulled>(text)
  change.dels.push(key)
  change.adjusts.push({ list: listOf.blobs(address), bytes: -bytes })
}
