/**
 * The rows that follow from an object alone, and the lists in which it stands: what `describe` writes, and what
 * `fmtp verify` expects. Boxes, threads and the cache depend on more than the object.
 */
import { traitsOf } from '../../schemas/kinds/kinds.ts'
import { domainOf, isAddressName, type Name } from '../../schemas/text/names.ts'
import { topOf } from '../thread.ts'
import type { AtRest } from './at-rest.ts'
import { keyOf, type ListName, listOf } from './layout.ts'

/** `made`: by a user or a server of ours, whose word also says what is a favourite and who spoke. */
export function ownRows(object: AtRest, isMade: boolean): ReadonlyMap<string, string> {
  const rows = new Map<string, string>()
  const { id, owner, expiresAt } = object
  if (expiresAt !== undefined) rows.set(keyOf.expires(Date.parse(expiresAt), id), '')
  if (!isMade) return rows
  const top = topOf(object)
  if (top !== undefined) rows.set(keyOf.spoke(top, owner), '')
  const favourite = findFavourite(object)
  if (favourite !== undefined) rows.set(keyOf.kept(favourite, owner), id)
  return rows
}

/** Who once said something in a thread has said it. */
export function isLasting(key: string): boolean {
  return key.startsWith('spoke ')
}

/** The id of what a mark keeps. */
export function findFavourite(object: AtRest): string | undefined {
  const { kind, about, kept } = object as AtRest & { readonly about?: string; readonly kept?: boolean }
  return kind === 'mark' && kept === true ? about : undefined
}

/** Public lists of an owner of ours in which an object of this kind may stand. Of some there are views instead. */
export function publicLists({ kind, owner }: Pick<AtRest, 'kind' | 'owner'>): readonly ListName[] {
  if (traitsOf(kind).hasViews) return []
  const name = owner as Name
  return (isAddressName(name) ? [name, domainOf(name)] : [name]).map(each => listOf.public(each))
}
