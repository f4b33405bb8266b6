/**
 * Objects and views: each text is what was sealed, its seal holds under the key of its credential, and every row that
 * follows from it is there. Signatures are verified in libuv's pool while the next rows are read.
 */
import { groupIn } from '../../objects/addressees.ts'
import { readCredential } from '../../objects/seals/credential.ts'
import { thumbprintOf, verifierOf } from '../../objects/seals/keys.ts'
import { sealedDigest } from '../../objects/seals/seal.ts'
import { findIntact, parseAtRest } from '../../objects/store/at-rest.ts'
import { attachedTo } from '../../objects/store/attachments.ts'
import { newestKey } from '../../objects/store/change.ts'
import { ownRows, publicLists } from '../../objects/store/derived-rows.ts'
import type { Row } from '../../objects/store/engine/leveldb.ts'
import type { Write } from '../../objects/store/engine/write.ts'
import { keyOf, lastPart, listOf, rangeOf } from '../../objects/store/layout.ts'
import { findPlace, topOf } from '../../objects/thread.ts'
import { canonicalText } from '../../schemas/canonical.ts'
import type { User } from '../../schemas/kinds/user.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'
import { readJws, type Verifier } from '../../wire/jws.ts'
import { listedDomains } from '../accounts/listed-domains.ts'
import { checkPlace, forumVersion } from './places.ts'
import type { SeenObject, Sight } from './sight.ts'

const verifiersMost = 10_000

export class ObjectChecks {
  readonly #sight: Sight
  /** By credential key. */
  readonly #verifiers = new BoundedMap<string, Verifier>(verifiersMost)
  #pending: Promise<unknown>[] = []
  #before: Promise<unknown> = Promise.resolve()
  #signatures = 0

  constructor(sight: Sight) {
    this.#sight = sight
  }

  get signatures(): number {
    return this.#signatures
  }

  /** Lets the pool work on the signatures of these rows while the next are read. */
  async next(): Promise<void> {
    await this.#before
    this.#before = Promise.all(this.#pending)
    this.#pending = []
  }

  async end(): Promise<void> {
    await this.next()
    await this.#before
  }

  async check([key, text]: Row): Promise<void> {
    const sight = this.#sight
    if (sight.get(key) !== text) {
      sight.find('row-hidden', key, 'is given by a scan, and not when it is asked for', {
        puts: [[key, text]],
      })
      return
    }
    const object = findIntact(key, text)
    if (object === undefined || canonicalText(parseAtRest(text)) !== text) {
      sight.find('object-damaged', key, 'the text is not what was sealed', asideWrite(key, text))
      return
    }
    this.#verify(key, text, object.hash, object.owner)
    if (key.startsWith('view ')) {
      const account = keyOf.account(object.owner)
      if (sight.get(account) === undefined)
        sight.find('account-damaged', account, 'its home key is lost: restore a backup')
      return
    }
    const seen = { object, bytes: text.length }
    checkOwnRows(sight, seen)
    await checkThread(sight, seen)
  }

  #verify(key: string, text: string, hash: string, owner: string): void {
    const sight = this.#sight
    const jws = readJws(hash, 'fmtp-hash')
    if (jws === undefined) return
    const credential = keyOf.credential(jws.kid, owner)
    const verifier = this.#verifiers.get(credential) ?? this.#findVerifier(credential, jws.kid, owner)
    if (verifier === undefined) {
      const made = sight.makers.findCredential(owner, jws.kid)
      const fix = made === undefined ? asideWrite(key, text) : { puts: [[credential, made] as const] }
      sight.find('credential-missing', credential, `sealed ${lastPart(key)}`, fix)
      return
    }
    this.#signatures++
    const verified = verifier.verify(jws.input, jws.signature).then(isValid => {
      if (!isValid)
        sight.find('object-damaged', key, 'the signature of its seal does not verify', asideWrite(key, text))
    })
    this.#pending.push(verified)
  }

  #findVerifier(key: string, thumbprint: string, owner: string): Verifier | undefined {
    const text = this.#sight.get(key)
    const payload = text === undefined ? undefined : readCredential(text)?.payload
    if (payload === undefined || payload.sub !== owner || thumbprintOf(payload.cnf.jwk) !== thumbprint)
      return undefined
    const verifier = verifierOf(payload.cnf.jwk)
    this.#verifiers.set(key, verifier)
    return verifier
  }
}

/** The text stays, out of everybody's way. */
export function asideWrite(key: string, text: string): Write {
  return { equals: [[key, text]], puts: [[keyOf.damaged(key), text]], dels: [key] }
}

/** Rows and public lists that follow from the object alone. */
function checkOwnRows(sight: Sight, seen: SeenObject): void {
  const { object } = seen
  const { id, owner } = object
  const isMade = sight.isOurs(owner)
  for (const [key, value] of ownRows(object, isMade)) sight.expect(key, value, `${id} says so`)
  for (const [sha256, claim] of attachedTo(object)) {
    const value = JSON.stringify(isMade ? { ...claim, isProven: true } : claim)
    sight.expect(keyOf.attached(sha256, id), value, `${id} names this blob`)
  }
  for (const group of groupIn(object)) {
    const version = object.public === true ? forumVersion(sight, group, object) : undefined
    if (version !== undefined) checkPlace(sight, seen, { list: listOf.public(group), version })
  }
  if (!isMade) return
  if (object.public === true)
    for (const list of publicLists(object)) checkPlace(sight, seen, { list, version: object.version })
  if (object.kind !== 'user') return
  const { keepDays } = object as unknown as User
  if (keepDays !== undefined) sight.expect(keyOf.retention(owner), String(keepDays), `${id} says so`)
  for (const domain of listedDomains(object as unknown as User))
    sight.expect(keyOf.listed(domain, owner), '', `the whitelist of ${owner} names it`)
}

/** In the list of its thread, or kept out of it and waiting. What was only fetched need not stand there. */
async function checkThread(sight: Sight, seen: SeenObject): Promise<void> {
  const { object } = seen
  const { id, version } = object
  const top = topOf(object)
  if (top === undefined || sight.get(keyOf.unjoined(id)) !== undefined) return
  const list = listOf.thread(top)
  const key = newestKey(list, object)
  if (sight.claimed.has(key) || sight.get(key) !== undefined) {
    checkPlace(sight, seen, { list, version })
    return
  }
  if (sight.isDeletedIn(list, id, version)) return
  if (!sight.isOurs(object.owner) && !(await sight.hasRows(rangeOf('boxed', id)))) return
  const place = findPlace(object, {
    findObject: other => sight.findObject(other)?.object,
    hasDigest: (other, digest) => hasDigest(sight, other, digest),
    isUnjoined: other => sight.get(keyOf.unjoined(other)) !== undefined,
  })
  if (place.isJoined) checkPlace(sight, seen, { list, version })
  else sight.expect(keyOf.unjoined(id), place.waitsFor, `${id} stands in no list of its thread`)
}

function hasDigest(sight: Sight, id: string, digest: string): boolean {
  const seen = sight.findObject(id)
  if (seen !== undefined && sealedDigest(seen.object) === digest) return true
  return sight.get(keyOf.digest(id, digest)) !== undefined
}
