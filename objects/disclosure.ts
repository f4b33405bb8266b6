/** What a viewer may see (protocol §9.3): public objects are anyone's, others belong to a conversation. */
import { privateKinds } from '../schemas/kinds.ts'
import type { FmtpObject } from '../schemas/object.ts'
import { recipientsIn } from '../schemas/recipients.ts'
import type { User } from '../schemas/user.ts'

/**
 * Whether all of these viewers may see it, since all of them will; a guest has none. `hasBoxed` tells whether a user's box
 * holds the object.
 */
export function maySee(
  object: FmtpObject,
  viewers: readonly string[],
  hasBoxed: (address: string, id: string) => boolean,
): boolean {
  if (privateKinds.has(object.kind))
    return viewers.length > 0 && viewers.every(viewer => viewer === object.owner)
  if (object.public === true || isOpenUser(object)) return true
  const to: readonly string[] = recipientsIn(object)
  const mayOne = (viewer: string): boolean =>
    viewer === object.owner || to.includes(viewer) || hasBoxed(viewer, object.id)
  return viewers.length > 0 && viewers.every(mayOne)
}

/** Everyone's view of a user is for everyone unless the user hides. */
function isOpenUser(object: FmtpObject): boolean {
  return object.kind === 'user' && object.public !== false && (object as User).view === 'everyone'
}
