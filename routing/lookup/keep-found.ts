/** What the climbs of a lookup find (protocol §10.2): believed by its seal, then kept where there is room. */
import type { Clock } from '../../objects/clock.ts'
import {
  type DomainKeys,
  type SealVerdict,
  type VerifiedObject,
  verifyOldSeal,
  verifySeal,
} from '../../objects/seals/seal.ts'
import type { Store } from '../../objects/store/store.ts'
import { isNewer } from '../../objects/version.ts'
import { type FailureCode, FmtpError, toFmtpError } from '../../schemas/failures.ts'
import { traitsOf } from '../../schemas/kinds/kinds.ts'
import { limits } from '../../schemas/limits.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import type { Name, ObjectId } from '../../schemas/text/names.ts'
import type { Note } from '../ladder.ts'
import { keepAbsent, keepFetched } from './found-cache.ts'

export interface KeepingPorts {
  readonly store: Store
  readonly keys: DomainKeys
  readonly clock: Clock
  /** False where the disk has no room: then what is fetched is given, and not kept. */
  hasRoom(): boolean
  /** A foreign object was given from here. */
  onUse(id: ObjectId): void
  /** A foreign object was kept, and takes room. */
  onKept(): void
}

export interface Keeping {
  /**
   * Verifies and keeps what came; gives what counts. `isTraced`: keeps nothing. `asOfMs`: when its home said so.
   * @throws {FmtpError} FMTP_FROM_FUTURE, or why its seal is not believed
   */
  keep(
    object: FmtpObject,
    note: Note,
    options?: { readonly isTraced?: boolean; readonly asOfMs?: number },
  ): Promise<FmtpObject>
  /** Notes that its home has none. */
  lose(id: ObjectId, note: Note): Promise<'absent'>
}

/** `findKeys` looks up the thumbprints of the keys that an owner has now; none where they can not be had. */
export function createKeeping(
  ports: KeepingPorts,
  findKeys: (owner: Name) => Promise<readonly string[]>,
): Keeping {
  const { store, clock } = ports

  /** Its home's word counts, also where it can not be kept. */
  async function lose(id: ObjectId, note: Note): Promise<'absent'> {
    try {
      await keepAbsent(store, id, clock.now())
    } catch (thrown) {
      note.add('keep', toFmtpError(thrown).code, { id })
    }
    return 'absent'
  }

  async function keep(
    object: FmtpObject,
    note: Note,
    { isTraced = false, asOfMs }: { readonly isTraced?: boolean; readonly asOfMs?: number } = {},
  ): Promise<FmtpObject> {
    if (object.version > clock.now() + limits.clockSkewMs)
      throw new FmtpError('FMTP_FROM_FUTURE', `version ${object.version}`)
    const id = object.id as ObjectId
    return note.step('seal', { id }, async () => {
      const verdict = await verifySeal(object, ports.keys, clock.now())
      const verified = verdict.isBelieved ? verdict.verified : await believeByKeys(object)
      if (verified === undefined) {
        const { code, reason } = verdict as Extract<SealVerdict, { isBelieved: false }>
        throw new FmtpError(code, reason)
      }
      if (isTraced) return object
      const kept = await keepWhereRoom(verified, note, asOfMs)
      ports.onUse(id)
      ports.onKept()
      return kept
    })
  }

  /** What can not be kept now is given all the same, and fetched again by the next who asks. */
  async function keepWhereRoom(verified: VerifiedObject, note: Note, asOfMs?: number): Promise<FmtpObject> {
    const { object } = verified
    const current = store.findObject(object.id)
    // A tombstone makes room.
    const mayKeep = ports.hasRoom() || (object.deleted === true && current !== undefined)
    let code: FailureCode = 'FMTP_FULL'
    try {
      if (mayKeep) return await keepFetched(store, verified, clock.now(), asOfMs)
    } catch (thrown) {
      code = toFmtpError(thrown).code
      if (code !== 'FMTP_STORE') throw thrown
    }
    note.add('keep', code, { id: object.id })
    return current === undefined || isNewer(verified, current) ? object : current
  }

  /** Past its credential: by the keys that its owner has now. What says which those are must be believed without. */
  async function believeByKeys(object: FmtpObject): Promise<VerifiedObject | undefined> {
    if (traitsOf(object.kind).isSingle) return undefined
    const old = await verifyOldSeal(object, clock.now())
    if (old === undefined) return undefined
    const keys = await findKeys(object.owner as Name)
    return keys.includes(old.thumbprint) ? old : undefined
  }

  return { keep, lose }
}
