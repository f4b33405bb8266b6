/** What no schema can say of an object: how its members must fit each other, and its kind (protocol §6.1). */
import { FmtpError } from './failures.ts'
import { singleKinds, traitsOf } from './kinds/kinds.ts'
import type { Draft, Unsealed } from './object.ts'
import { isAddressName, type Name, nonceOf, type ObjectId, ownerOf } from './text/names.ts'

const bad = (detail: string) => new FmtpError('FMTP_BAD_OBJECT', detail)

/** A whole object, with or without its seal. @throws {FmtpError} FMTP_BAD_OBJECT */
export function checkRules(object: Unsealed): void {
  checkDraftRules(object)
  const { parent, parentHash, top } = object
  if (parent !== undefined && (parentHash === undefined || top === undefined))
    throw bad('parent needs parentHash and top')
  if (parent === undefined && (top !== undefined || parentHash !== undefined))
    throw bad('top and parentHash need a parent')
}

/** An object with gaps that its home will fill: what can be said without them. @throws {FmtpError} FMTP_BAD_OBJECT */
export function checkDraftRules(object: Draft): void {
  checkOwner(object)
  const { id, kind, parent, top, createdAt, expiresAt } = object
  if (parent === id || (parent !== undefined && top === id)) throw bad(`${id} answers itself`)
  // Both in the one form of an instant, whose text order is the order of time.
  if (expiresAt !== undefined && createdAt !== undefined && expiresAt < createdAt)
    throw bad(`expires ${expiresAt}, created ${createdAt}`)
  if (object.public === true && traitsOf(kind).isPrivate) throw bad(`a ${kind} is never public`)
}

function checkOwner(object: Draft): void {
  const { id, kind } = object
  const owner: Name = ownerOf(id as ObjectId)
  if (object.owner !== undefined && owner !== object.owner) throw bad(`id ${id} is not of ${object.owner}`)
  const nonce = nonceOf(id as ObjectId)
  const { isSingle, ownedBy } = traitsOf(kind)
  if (isSingle ? nonce !== kind : singleKinds.has(nonce)) throw bad(`id ${id} does not fit kind ${kind}`)
  if (ownedBy !== 'either' && isAddressName(owner) !== (ownedBy === 'address'))
    throw bad(`${kind} of ${owner}`)
  const { domain } = object as { domain?: unknown }
  if (kind === 'server' && domain !== undefined && domain !== owner)
    throw bad(`server object of ${owner} speaks of another domain`)
}
