/**
 * The friends' view of a user of ours (protocol §6.3): composed and sealed when somebody asks, so that coming and going
 * writes no object and moves no version of everyone's view.
 */
import type { Clock } from '../../../objects/clock.ts'
import { findMatch } from '../../../objects/pattern.ts'
import { type SealingKey, sealObject } from '../../../objects/seals/seal.ts'
import { friendsView } from '../../../objects/view.ts'
import { canonicalText } from '../../../schemas/canonical.ts'
import type { User } from '../../../schemas/kinds/user.ts'
import type { Unsealed } from '../../../schemas/object.ts'
import type { Address } from '../../../schemas/text/names.ts'
import { BoundedMap } from '../../../wire/bounded-map.ts'
import type { Presence } from './presence.ts'

export interface ViewsPorts {
  readonly clock: Clock
  /** The owner's own object. */
  findUser(address: Address): User | undefined
  /** The object of one whose account was deleted. */
  findLeaver(address: Address): User | undefined
  /** Everyone's view. */
  findView(address: Address): User | undefined
  homeKey(address: Address): SealingKey
  findPresence(address: Address): Presence
}

export type FindView = (address: Address, viewers: readonly string[]) => User | undefined

interface Composed {
  /** Canonical text without version and seal. */
  readonly text: string
  readonly credential: string
  readonly view: User
}

const composedMost = 10_000

/** The view of a user of ours that all of these viewers may have; `undefined`: to one of them there is no such user. */
export function createViews(ports: ViewsPorts): FindView {
  const composed = new BoundedMap<Address, Composed>(composedMost)

  function compose(address: Address, user: User, everyones: User): User {
    const presence = ports.findPresence(address)
    const unversioned = friendsView(user, everyones, presence.isOnline)
    const text = canonicalText(unversioned)
    const key = ports.homeKey(address)
    const known = composed.get(address)
    if (known?.text === text && known.credential === key.credential) return known.view
    // The same words under a renewed credential are the same version. Who was never asked for changed with one of these.
    const version =
      known?.text === text
        ? known.view.version
        : Math.max(presence.sinceMs, user.version, everyones.version, (known?.view.version ?? 0) + 1)
    const view = sealObject({ ...unversioned, version } as Unsealed<User>, key).object
    composed.set(address, { text, credential: key.credential, view })
    return view
  }

  /** Who asks is told that there is no such user; the tombstone is brought in the name of its owner, who does not ask any more. */
  function findEnd(address: Address, viewers: readonly string[]): User | undefined {
    if (viewers.length !== 1 || viewers[0] !== address) return undefined
    const leaver = ports.findLeaver(address)
    return leaver?.deleted === true ? leaver : undefined
  }

  return (address, viewers) => {
    const user = ports.findUser(address)
    if (user === undefined) return findEnd(address, viewers)
    const others = viewers.filter(viewer => viewer !== address)
    if (viewers.length > 0 && others.length === 0) return user
    // One answer is shown to all viewers, so that the least known of them decides.
    const areFriends =
      others.length > 0 && others.every(viewer => findMatch(user.whitelist, viewer) !== undefined)
    if (user.public === false && !areFriends) return undefined
    const everyones = ports.findView(address)
    const statusFor = user.statusFor ?? 'friends'
    const maySeeStatus = statusFor === 'everyone' ? others.length > 0 : areFriends && statusFor === 'friends'
    return everyones !== undefined && maySeeStatus ? compose(address, user, everyones) : everyones
  }
}
