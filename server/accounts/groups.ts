/**
 * Groups of our domains (protocol §6.8): each an address with an account of its own, whose home key seals for it. Nobody
 * logs in as a group. Its address is never given out again: the account stays, and the tombstone.
 */
import type { Clock } from '../../objects/clock.ts'
import { isMember } from '../../objects/group-policy.ts'
import { generateKeyPair, privatePem, signerOf } from '../../objects/seals/keys.ts'
import type { Write } from '../../objects/store/engine/write.ts'
import { keyOf } from '../../objects/store/layout.ts'
import type { Store } from '../../objects/store/store.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { Group } from '../../schemas/kinds/group.ts'
import { skeletonOf } from '../../schemas/text/look-alikes.ts'
import { type Address, domainOf, isAddressName, makeObjectId, type Name } from '../../schemas/text/names.ts'
import type { AccountRecord, Credentials, HomeSealingKey } from './credentials.ts'

/** A group in the making: the key that seals it, and what is written beside its object. */
export interface Founding {
  readonly home: HomeSealingKey
  readonly write: Write
}

export interface Groups {
  /** The object of a group of ours that was not deleted. */
  find(address: Name): Group | undefined
  /** True for an address of ours that is a group, or was one. */
  isGroup(address: Name): boolean
  /** True where this is a group of ours, and somebody is one of its members or moderators. */
  isMember(address: Name, who: string): boolean
  /**
   * Makes the account of a new group, at most `most` for each maker; what was deleted counts.
   * @throws {FmtpError} FMTP_NOT_OWNER on another domain than the maker's, FMTP_BAD_NAME when the name is taken or looks like
   * another, FMTP_TOO_MANY_GROUPS
   */
  found(address: Address, maker: Address, most: number): Founding
}

export interface GroupsPorts {
  readonly store: Store
  readonly clock: Clock
  readonly credentials: Credentials
  isOwn(name: Name): boolean
}

export function createGroups({ store, clock, credentials, isOwn }: GroupsPorts): Groups {
  const { database } = store

  function find(address: Name): Group | undefined {
    if (!isAddressName(address) || !isOwn(address)) return undefined
    const group = store.findObject(makeObjectId('group', address)) as Group | undefined
    return group?.deleted === true ? undefined : group
  }

  return {
    find,
    isGroup: address =>
      isAddressName(address) &&
      isOwn(address) &&
      store.findText(makeObjectId('group', address)) !== undefined,
    isMember(address, who) {
      const group = find(address)
      return group !== undefined && isMember(group, who)
    },
    found(address, maker, most) {
      if (domainOf(address) !== domainOf(maker))
        throw new FmtpError('FMTP_NOT_OWNER', `${maker} makes no groups at ${domainOf(address)}`)
      const taken = [keyOf.account(address), keyOf.skeleton(skeletonOf(address))] as const
      if (taken.some(key => database.get(key) !== undefined))
        throw new FmtpError('FMTP_BAD_NAME', `${address} is taken, or looks like a name that is`)
      const count = keyOf.made(maker)
      const made = database.get(count)
      if (Number(made ?? 0) >= most) throw new FmtpError('FMTP_TOO_MANY_GROUPS', `${maker} has made ${made}`)
      const nowMs = clock.now()
      const pair = generateKeyPair()
      const record: AccountRecord = { createdAtMs: nowMs, homeKey: privatePem(pair) }
      const signer = signerOf(pair)
      return {
        home: credentials.sealingKey(address, { signer, jwk: pair.jwk, createdAtMs: nowMs }),
        write: {
          absent: [...taken, ...(made === undefined ? [count] : [])],
          equals: made === undefined ? [] : [[count, made]],
          puts: [
            [taken[0], JSON.stringify(record)],
            [taken[1], address],
            [count, String(Number(made ?? 0) + 1)],
          ],
        },
      }
    },
  }
}
