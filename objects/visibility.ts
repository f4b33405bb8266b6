/** What a viewer may see (protocol §9.3): public objects are anyone's, others belong to a conversation. */
import { traitsOf } from '../schemas/kinds/kinds.ts'
import { recipientsIn } from '../schemas/kinds/recipients.ts'
import type { User } from '../schemas/kinds/user.ts'
import type { FmtpObject } from '../schemas/object.ts'
import type { Address } from '../schemas/text/names.ts'
import { groupIn } from './addressees.ts'

/** What is asked about a viewer. */
export interface Sight {
  /** True where the box of a user of ours holds the object. */
  hasBoxed(address: string, id: string): boolean
  /** True where this is a group of ours, and somebody is one of its members or moderators. */
  isMember(group: Address, who: string): boolean
}

/**
 * Whether all of these viewers may see it, since all of them will; a guest has none.
 */
export function maySee(object: FmtpObject, viewers: readonly string[], sight: Sight): boolean {
  if (traitsOf(object.kind).isPrivate)
    return viewers.length > 0 && viewers.every(viewer => viewer === object.owner)
  if (object.public === true || isOpenUser(object)) return true
  const to: readonly string[] = recipientsIn(object)
  const mayOne = (viewer: string): boolean =>
    viewer === object.owner ||
    to.includes(viewer) ||
    sight.hasBoxed(viewer, object.id) ||
    groupsOf(object).some(group => sight.isMember(group, viewer))
  return viewers.length > 0 && viewers.every(mayOne)
}

/** Addresses whose members may see an object, where they are groups. */
function groupsOf(object: FmtpObject): readonly Address[] {
  if (object.kind === 'group') return [object.owner as Address]
  return [...groupIn(object), ...recipientsIn(object)]
}

/** Everyone's view of a user is for everyone unless the user hides. */
function isOpenUser(object: FmtpObject): boolean {
  return traitsOf(object.kind).hasViews && object.public !== false && (object as User).view === 'everyone'
}
