/**
 * Addresses, domains and object ids: one canonical text each (protocol §2, their kinds §2.1).
 * `parse` takes what people type and gives the canonical text, `is` says whether a text is canonical already. The
 * ASCII case is one linear expression, since names are checked several times a message.
 */

import { FmtpError } from '../failures.ts'
import { limits } from '../limits.ts'
import { findHost, hasValidLabels } from './idna.ts'
import { enforceUsername } from './precis.ts'

declare const brand: unique symbol
type Branded<B extends string> = string & { readonly [brand]: B }

/** `poe.net`: A-labels in lower case, no trailing dot, at most 253 characters. */
export type Domain = Branded<'Domain'>
/** `edgar@poe.net`: at most 200 bytes of UTF-8. */
export type Address = Branded<'Address'>
/** Who owns an object: a user or group by its address, a server by its bare domain. */
export type Name = Address | Domain
/** `1239583738491.edgar@poe.net`: a nonce, a dot, the name of the owner. */
export type ObjectId = Branded<'ObjectId'>

const domainChars = 253
/** UTF-16 code units; nothing this long can become a name, and mapping it would cost. */
const inputChars = 1000

// Runs of letters and digits with single separators between them match in one way only, so nothing backtracks twice.
const ldh = '(?![^.]{64})[a-z0-9]+(?:-+[a-z0-9]+)*'
const domainOfLabels = (label: string) => `(?:${label}\\.)*(?!(?:\\d+|0x[\\da-f]*)$)${label}`
/** Without A-labels: those need their Punycode checked. */
const plainDomain = domainOfLabels(`(?!xn--)${ldh}`)
const plainLocal = '[a-z0-9]+(?:[._-][a-z0-9]+)*'

const ldhPattern = new RegExp(`^${domainOfLabels(ldh)}$`)
const domainPattern = new RegExp(`^${plainDomain}$`)
const localPattern = new RegExp(`^${plainLocal}$`)
const addressPattern = new RegExp(`^(?=[^@]{1,${limits.localBytes}}@)${plainLocal}@${plainDomain}$`)
const noncePattern = new RegExp(`^[A-Za-z0-9_-]{1,${limits.nonceChars}}$`)

const ascii = /^[ -~]*$/
const strayInDomain = /[^A-Za-z0-9.\u0080-\uffff-]/
const strayDot = /^[._-]|[._-]$|[._-]{2}/
/** True of every text that may be canonical without matching the patterns above. */
const needsUnicode = /[^ -~]|xn--/

const isPlainDomain = (text: string) => text.length <= domainChars && domainPattern.test(text)
const isPlainAddress = (text: string) => text.length <= limits.addressBytes && addressPattern.test(text)

const encoder = new TextEncoder()
const utf8Bytes = (text: string) => encoder.encode(text).length

const bad = (detail: string) => new FmtpError('FMTP_BAD_NAME', detail)

function requireText(input: unknown): string {
  if (typeof input !== 'string') throw bad(`a name is a text, not ${input === null ? 'null' : typeof input}`)
  if (input.length > inputChars) throw bad(`${input.length} characters are too many for a name`)
  return input
}

/** True when `parse` leaves `text` as it is; only for texts where that is not plain to see. */
function isFixed(text: string, parse: (text: string) => string): boolean {
  try {
    return parse(text) === text
  } catch (error) {
    if (error instanceof FmtpError) return false
    throw error
  }
}

/**
 * The canonical domain: lower case, international labels as A-labels, one trailing dot dropped. A single label such
 * as `localhost` is a domain too; an IPv4 address is not.
 * @throws {FmtpError} FMTP_BAD_NAME
 */
export function parseDomain(input: unknown): Domain {
  const text = requireText(input)
  if (isPlainDomain(text)) return text as Domain
  if (strayInDomain.test(text)) throw bad('a character that no domain has')
  const lower = ascii.test(text) ? text.toLowerCase() : text
  const domain = (needsUnicode.test(lower) ? findHost(lower) : lower)?.replace(/\.$/, '')
  if (domain === undefined || domain.length > domainChars || !ldhPattern.test(domain)) throw bad('no domain')
  if (!domainPattern.test(domain) && !hasValidLabels(domain)) throw bad('an A-label that is not valid')
  return domain as Domain
}

/** True when `text` is a canonical domain. */
export function isDomain(text: string): text is Domain {
  return isPlainDomain(text) || (needsUnicode.test(text) && isFixed(text, parseDomain))
}

function parseLocal(text: string): string {
  const local = ascii.test(text) ? text.toLowerCase() : enforceUsername(text)
  if (ascii.test(local) ? !localPattern.test(local) : strayDot.test(local)) {
    throw bad('letters and digits, with single . _ - between them, come before the @')
  }
  if (utf8Bytes(local) > limits.localBytes) throw bad('too long before the @')
  return local
}

function joinAddress(local: string, domain: string): Address {
  const address = `${parseLocal(local)}@${parseDomain(domain)}`
  if (utf8Bytes(address) > limits.addressBytes) throw bad('an address too long')
  return address as Address
}

/**
 * The canonical address of `local@domain`, `@local@domain` or `local#domain` (protocol §2.4).
 * @throws {FmtpError} FMTP_BAD_NAME
 */
export function parseAddress(input: unknown): Address {
  const text = requireText(input)
  if (isPlainAddress(text)) return text as Address
  const parts = text.replace(/^@/, '').split(text.includes('@') ? '@' : '#')
  const [local, domain] = parts
  if (local === undefined || domain === undefined || parts.length > 2) throw bad('not one local@domain')
  return joinAddress(local, domain)
}

/** True when `text` is a canonical address. */
export function isAddress(text: string): text is Address {
  return isPlainAddress(text) || (needsUnicode.test(text) && isFixed(text, parseAddress))
}

/**
 * The canonical address where there is an `@` or `#`, which no domain has, else the canonical domain.
 * @throws {FmtpError} FMTP_BAD_NAME
 */
export function parseName(input: unknown): Name {
  const text = requireText(input)
  return /[@#]/.test(text) ? parseAddress(text) : parseDomain(text)
}

/** True when `text` is a canonical address or a canonical domain. */
export function isName(text: string): text is Name {
  return text.includes('@') ? isAddress(text) : isDomain(text)
}

/** True when the name is a user's or group's address, not a server's domain. */
export function isAddressName(name: Name): name is Address {
  return name.includes('@')
}

/** The domain of an address, or the domain itself. */
export function domainOf(name: Name): Domain {
  return name.slice(name.indexOf('@') + 1) as Domain
}

/** What stands before the `@`. */
export function localOf(address: Address): string {
  return address.slice(0, address.indexOf('@'))
}

/**
 * The canonical id: the nonce as it is, the owner in its canonical text. The owner has no other spellings here.
 * @throws {FmtpError} FMTP_BAD_NAME
 */
export function parseObjectId(input: unknown): ObjectId {
  const text = requireText(input)
  const dot = text.indexOf('.')
  const owner = text.slice(dot + 1)
  if (dot < 0 || owner.startsWith('@') || owner.includes('#')) throw bad('not one nonce.owner')
  return makeObjectId(text.slice(0, dot), parseName(owner))
}

/** True when `text` is a canonical id. */
export function isObjectId(text: string): text is ObjectId {
  const dot = text.indexOf('.')
  return dot > 0 && noncePattern.test(text.slice(0, dot)) && isName(text.slice(dot + 1))
}

/**
 * The id `<nonce>.<owner>`.
 * @throws {FmtpError} FMTP_BAD_NAME when the nonce is not 1 to 40 of `A-Z a-z 0-9 _ -`.
 */
export function makeObjectId(nonce: string, owner: Name): ObjectId {
  if (!noncePattern.test(nonce)) throw bad('not a nonce')
  return `${nonce}.${owner}` as ObjectId
}

/** The name an id ends in, which is its object's owner. */
export function ownerOf(id: ObjectId): Name {
  return id.slice(id.indexOf('.') + 1) as Name
}

/** What stands before the first dot of an id, case kept. */
export function nonceOf(id: ObjectId): string {
  return id.slice(0, id.indexOf('.'))
}
