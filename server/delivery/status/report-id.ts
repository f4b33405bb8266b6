/** Of what authors are told, and by which object (protocol §10.5). */
import { hash } from 'node:crypto'
import type { Step } from '../../../routing/ladder.ts'
import type { FmtpObject } from '../../../schemas/object.ts'
import {
  type Address,
  type Domain,
  domainOf,
  makeObjectId,
  type ObjectId,
  ownerOf,
} from '../../../schemas/text/names.ts'

/** An object at one domain. */
export interface About {
  readonly id: string
  readonly domain: Domain
}

/** What was tried, as a report shows it. */
export type Trail = readonly (Pick<Step, 'rung' | 'what' | 'ms'> & { readonly outcome: string })[]

/** What an author is told. */
export interface Telling {
  readonly outcome: 'failed' | 'delayed' | 'delivered'
  readonly recipients: readonly Address[]
  readonly code?: string | undefined
  readonly trail?: Trail
}

/** Nobody is told of these: nobody has sent them, or telling would have no end. */
const silent: ReadonlySet<string> = new Set(['report', 'user', 'server', 'mark'])

/** True for what its author is told of. */
export function isTold({ kind }: Pick<FmtpObject, 'kind'>): boolean {
  return !silent.has(kind)
}

/** The report about an object at one domain (or a part of its recipients there), by the home of its author or by a relay. */
export function reportId(
  about: string,
  domain: string,
  by: Domain = domainOf(ownerOf(about as ObjectId)),
): ObjectId {
  const nonce = hash('sha256', `${about} ${domain}`, 'base64url').slice(0, 32)
  return makeObjectId(`r-${nonce}`, by)
}
