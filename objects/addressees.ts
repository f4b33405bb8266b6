/**
 * Whom an object is for (protocol §8.2): those in `to`; of a post its forum and the owners of what it answers; of a report
 * of a group the owner of what it is about.
 */

import { type KindTraits, traitsOf } from '../schemas/kinds/kinds.ts'
import type { Post } from '../schemas/kinds/post.ts'
import { recipientsIn } from '../schemas/kinds/recipients.ts'
import type { Report } from '../schemas/kinds/report.ts'
import type { FmtpObject, Unsealed } from '../schemas/object.ts'
import { type Address, isAddressName, type Name, type ObjectId, ownerOf } from '../schemas/text/names.ts'

type Addressed = Pick<FmtpObject, 'kind' | 'owner' | 'parent' | 'top'>

/** None twice, and never the owner of a post or report itself. A tombstone names less than the version before it. */
export function addresseesOf(object: Addressed | Unsealed): readonly Address[] {
  const to = recipientsIn(object)
  if (to.length > 0) return to
  const owners = answered[traitsOf(object.kind).addressees](object).map(id => ownerOf(id as ObjectId))
  const named: Name[] = [...groupIn(object), ...owners]
  return [...new Set(named.filter(isAddressName))].filter(name => name !== object.owner)
}

const nothing = (): readonly string[] => []

/** Ids of the objects whose owners an object speaks to where it names nobody in `to`. */
const answered: { readonly [A in KindTraits['addressees']]: (object: Addressed) => readonly string[] } = {
  to: nothing,
  none: nothing,
  answered: ({ parent, top }) => [parent, top].filter(id => id !== undefined),
  about(object) {
    const { about, owner } = object as Pick<Report, 'owner'> & Partial<Report>
    return about !== undefined && isAddressName(owner as Name) ? [about] : []
  },
}

/** The forum that a post is for. */
export function groupIn(object: Pick<FmtpObject, 'kind'>): readonly Address[] {
  const { kind, group } = object as Pick<Post, 'kind' | 'group'>
  return group !== undefined && traitsOf(kind).namesForum ? [group as Address] : []
}
