/** What a viewer may see (protocol §9.3): public objects are anyone's, others belong to a conversation. */
import { privateKinds } from '../schemas/kinds.ts'
import type { FmtpObject } from '../schemas/object.ts'
import { recipientsIn } from '../schemas/recipients.ts'
import type { User } from '../schemas/user.ts'

/** Users that the asker may speak for; empty for a guest. `hasBoxed` tells whether a user's box holds the object. */
export function maySee(
  object: FmtpObject,
  viewers: readonly string[],
  hasBoxed: (address: string, id: string) => boolean,
): boolean {
  if (privateKinds.has(object.kind)) return viewers.includes(object.owner)
  if (object.public === true || isOpenUser(object)) return true
  const to: readonly string[] = recipientsIn(object)
  return viewers.some(viewer => viewer === object.owner || to.includes(viewer) || hasBoxed(viewer, object.id))
}

/** Everyone's view of a user is for everyone unless the user hides. */
function isOpenUser(object: FmtpObject): boolean {
  return object.kind === 'user' && object.public !== false && (object as User).view === 'everyone'
}
