/** Views of a user object (protocol §6.3): the same user for different eyes. */
import type { Unsealed } from '../schemas/object.ts'
import { ownerMembers, type User } from '../schemas/user.ts'

const forOwnerAlone: ReadonlySet<string> = new Set([...Object.keys(ownerMembers), 'status', 'statusText'])

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
