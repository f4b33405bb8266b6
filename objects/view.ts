/** Views of a user object (protocol §6.3): the same user for different eyes. */

import { traitsOf } from '../schemas/kinds/kinds.ts'
import { ownerMembers, type User } from '../schemas/kinds/user.ts'
import type { FmtpObject, Unsealed } from '../schemas/object.ts'

const forOwnerAlone: ReadonlySet<string> = new Set([...Object.keys(ownerMembers), 'status', 'statusText'])

/** True for all but users as only some may see them: what is kept under a user's id is what everyone may have. */
export function isEveryones(object: FmtpObject): boolean {
  const { view = 'everyone' } = object as User
  return !traitsOf(object.kind).hasViews || view === 'everyone'
}

/**
 * What everyone may know of a user, before it is sealed; it has no version yet. `keys` are the thumbprints of all keys
 * that speak for the user now.
 */
export function everyonesView(owner: User, keys: readonly string[]): Omit<Unsealed<User>, 'version'> {
  const { version: _, hash: __, encryptedKey: ___, ...members } = owner
  const open = Object.entries(members).filter(([name]) => !forOwnerAlone.has(name))
  return {
    ...(Object.fromEntries(open) as Omit<Unsealed<User>, 'version'>),
    view: 'everyone',
    keys: [...keys],
  }
}

/**
 * What friends may know besides: `status`, and `statusText` where one is set. Who is connected may say away or busy, or
 * offline to be left alone; who is not is offline. It has no version yet.
 */
export function friendsView(
  owner: Pick<User, 'status' | 'statusText'>,
  everyones: User,
  isOnline: boolean,
): Omit<Unsealed<User>, 'version'> {
  const { version: _, hash: __, encryptedKey: ___, ...members } = everyones
  const status = isOnline ? (owner.status ?? 'online') : 'offline'
  const { statusText } = owner
  return { ...members, view: 'friends', status, ...(statusText === undefined ? {} : { statusText }) }
}
