/** What authors are told, and by which object (protocol §10.5). */
import { hash } from 'node:crypto'
import type { Step } from '../../../routing/ladder.ts'
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

/** The report about an object at one domain (or a part of its recipients there), by the home of its author or by a relay. */
export function reportId(
  about: string,
  domain: string,
  by: Domain = domainOf(ownerOf(about as ObjectId)),
): ObjectId {
  const nonce = hash('sha256', `${about} ${domain}`, 'base64url').slice(0, 32)
  return makeObjectId(`r-${nonce}`, by)
}
