/**
 * `to`: whom an object is written to (protocol §6.1). Messages have it, and kinds of an operator that say so; in every
 * other kind it is refused, so that whoever reads an object need not know its kind to know for whom it is.
 */
import { limits } from '../limits.ts'
import { addressText } from '../object.ts'
import type { Address } from '../text/names.ts'
import { Type } from '../type.ts'

export const recipients = Type.Array(addressText, {
  minItems: 1,
  maxItems: limits.recipients,
  uniqueItems: true,
})

/** The addresses in `to` of an object that was parsed, whatever its kind; none in a tombstone. */
export function recipientsIn(object: object): readonly Address[] {
  return (object as { readonly to?: readonly Address[] }).to ?? []
}
