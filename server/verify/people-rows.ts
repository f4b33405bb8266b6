/** Rows about users of ours, their keys and devices, and about credentials of everybody. */
import { readCredential } from '../../objects/seals/credential.ts'
import { parsePrivatePem, thumbprintOf } from '../../objects/seals/keys.ts'
import { keyOf } from '../../objects/store/layout.ts'
import { findRow } from '../../objects/store/row.ts'
import type { PublicJwk } from '../../schemas/frame.ts'
import type { User } from '../../schemas/kinds/user.ts'
import { skeletonOf } from '../../schemas/text/look-alikes.ts'
import { type Address, domainOf, isAddressName, makeObjectId, type Name } from '../../schemas/text/names.ts'
import { readJws, type Verifier } from '../../wire/jws.ts'
import type { AccountRecord } from '../accounts/credentials.ts'
import type { GoneRecord } from '../accounts/leavers.ts'
import { listedDomains } from '../accounts/listed-domains.ts'
import { readStrangers } from '../exchange/recipients/new-recipients.ts'
import { areWhole, isWhole, partsOf, type Sight } from './sight.ts'

const sha256Chars = 43

function requireUser(sight: Sight, key: string, address: string): boolean {
  const isThere = sight.isOurs(address)
  if (!isThere) sight.stray(key, `there is no user ${address}`)
  return isThere
}

export async function checkAccount(sight: Sight, key: string, value: string): Promise<void> {
  const [name] = partsOf(key)
  const account = findRow<AccountRecord>(value)
  if (isAddressName(name as Name))
    sight.expect(keyOf.skeleton(skeletonOf(name as Address)), name, `${name} is taken`)
  // Of an account that was deleted the private key is not here, and its user neither.
  if (account?.jwk !== undefined && account.homeKey === undefined) {
    const gone = keyOf.gone(name)
    const anew = { puts: [[gone, goneAnew] as const] }
    if (sight.get(gone) === undefined) sight.find('entry-missing', gone, `${name} was deleted`, anew)
    return
  }
  try {
    parsePrivatePem(String(account?.homeKey))
  } catch {
    sight.find('account-damaged', key, 'its home key can not be read: restore a backup')
    return
  }
  if (!isAddressName(name as Name)) return
  const group = makeObjectId('group', name as Name)
  if (sight.findObject(group) !== undefined || sight.isLost(group)) return
  const id = makeObjectId('user', name as Name)
  if (sight.get(keyOf.object(id)) === undefined && !sight.isLost(id))
    sight.find('account-damaged', key, `${id} is not here: restore a backup, or let its user publish it`)
  const view = keyOf.view('everyone', name)
  if (sight.get(view) === undefined)
    sight.find('view-missing', view, `nobody sees ${name}`, await sight.makers.findViewWrite(name))
}

/** All is erased once more, which changes nothing where it was. */
const goneAnew = JSON.stringify({ startedAtMs: 0, groups: [] } satisfies GoneRecord)

/** A deleted account: the row is what keeps its address from being given out again. */
export function checkGone(sight: Sight, key: string, value: string): void {
  const [address] = partsOf(key)
  const gone = findRow<GoneRecord>(value)
  if (!requireUser(sight, key, address)) return
  if (gone !== undefined && areWhole(gone.startedAtMs) && Array.isArray(gone.groups)) return
  sight.find('entry-wrong', key, `says ${value.slice(0, 100)}`, { puts: [[key, goneAnew]] })
}

/** How many groups a user has made. */
export function checkMade(sight: Sight, key: string, value: string): void {
  const [address] = partsOf(key)
  if (requireUser(sight, key, address) && !isWhole(value))
    sight.find('entry-wrong', key, 'says no number', { puts: [[key, '0']] })
}

export function checkSkeleton(sight: Sight, key: string, address: string): void {
  if (!sight.isOurs(address) || keyOf.skeleton(skeletonOf(address as Address)) !== key)
    sight.stray(key, `there is no user ${address.slice(0, 100)} of this look`)
}

export function checkDevice(sight: Sight, key: string, value: string): void {
  const [address, thumbprint] = partsOf(key)
  if (!requireUser(sight, key, address)) return
  const device = findRow<{ jwk?: PublicJwk; enrolledAtMs?: number }>(value)
  const isRight =
    device?.jwk !== undefined && thumbprintOf(device.jwk) === thumbprint && areWhole(device.enrolledAtMs)
  if (!isRight) {
    sight.find('device-damaged', key, 'must log in anew', { dels: [key] })
    return
  }
  const credential = keyOf.credential(thumbprint, address)
  if (sight.get(credential) !== undefined) return
  const made = sight.makers.findCredential(address, thumbprint)
  const fix = made === undefined ? {} : { puts: [[credential, made] as const] }
  sight.find('credential-missing', credential, `is a device of ${address}`, fix)
}

export function checkResealing(sight: Sight, key: string, value: string): void {
  const [address] = partsOf(key)
  if (requireUser(sight, key, address) && !isWhole(value))
    sight.find('entry-wrong', key, 'says no number', { puts: [[key, '0']] })
}

export function checkRetention(sight: Sight, key: string, value: string): void {
  const [address] = partsOf(key)
  const id = makeObjectId('user', address as Name)
  const { keepDays } = (sight.findObject(id)?.object ?? {}) as Partial<User>
  if (keepDays === undefined && !sight.isLost(id))
    sight.stray(key, `${address} keeps everything, not ${value.slice(0, 20)} days`)
}

export function checkListed(sight: Sight, key: string, value: string): void {
  const [domain, address] = partsOf(key)
  const id = makeObjectId('user', address as Name)
  if (sight.isLost(id)) return
  const user = sight.findObject(id)?.object as unknown as User | undefined
  if (user === undefined || !listedDomains(user).has(domain))
    sight.stray(key, `the whitelist of ${address} does not name it`)
  else if (value !== '') sight.expect(key, '', `the whitelist of ${address} names it`)
}

export function checkToken(sight: Sight, key: string, value: string): void {
  const [sha256] = partsOf(key)
  const token = findRow<{ address?: string; expiresAtMs?: number }>(value)
  const isRight = token !== undefined && sha256.length === sha256Chars && areWhole(token.expiresAtMs)
  if (!isRight || !sight.isOurs(String(token.address)))
    sight.stray(key, 'is a link for nobody; make a new one with: fmtp serve --link')
}

/** Without a row the next message is counted as the first, so that it need not be found. */
export function checkWrote(sight: Sight, key: string): void {
  const [address, recipient = ''] = partsOf(key)
  if (requireUser(sight, key, address) && recipient === '') sight.stray(key, 'names no recipient')
}

export function checkStrangers(sight: Sight, key: string, value: string): void {
  const [address] = partsOf(key)
  if (requireUser(sight, key, address) && readStrangers(value) === undefined)
    sight.stray(key, 'says no day and number')
}

/** Domain keys of ours, also those that signed once and are deleted. */
export type FindDomainKey = (domain: string, selector: string) => Verifier | undefined

export interface CredentialCounts {
  /** Of foreign domains, whose keys are not asked for. */
  foreign: number
  /** That ended, and whose domain key is not known any more. */
  ended: number
}

export async function checkCredential(
  sight: Sight,
  [key, text]: readonly [string, string],
  keys: { readonly isOwnDomain: (domain: string) => boolean; readonly find: FindDomainKey },
  counts: CredentialCounts,
): Promise<void> {
  const [thumbprint, owner] = partsOf(key)
  const credential = readCredential(text)
  const jws = readJws(text, 'fmtp-key')
  const damaged = (told: string): void => {
    const made = sight.makers.findCredential(owner, thumbprint)
    const fix = made === undefined ? { dels: [key] } : { puts: [[key, made] as const] }
    sight.find('credential-damaged', key, told, fix)
  }
  if (credential === undefined || jws === undefined) return damaged('can not be read')
  const { kid, payload } = credential
  if (payload.sub !== owner || thumbprintOf(payload.cnf.jwk) !== thumbprint)
    return damaged(`is that of ${payload.sub}`)
  const domain = domainOf(owner as Name)
  if (!keys.isOwnDomain(domain)) {
    counts.foreign++
    return
  }
  const verifier = keys.find(domain, kid)
  if (verifier === undefined) {
    // A domain key that was lost, or deleted before this server kept what follows it.
    if (payload.exp * 1000 < Date.now()) counts.ended++
    else damaged(`was made by a key ${kid}, which ${domain} does not have`)
    return
  }
  if (!(await verifier.verify(jws.input, jws.signature)))
    damaged(`the signature of ${domain} does not verify`)
}
