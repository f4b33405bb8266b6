/**
 * The domains this process serves and their private keys (protocol §7.1): one that signs, others that follow it or that it
 * followed. A missing key is made at the first start.
 */
import { join } from 'node:path'
import { readCredential } from '../../objects/seals/credential.ts'
import { type KeyPair, recordKeyOf, signerOf, verifierOf } from '../../objects/seals/keys.ts'
import type { DomainKey } from '../../objects/seals/seal.ts'
import { vouchFor } from '../../objects/seals/successors.ts'
import { domainKeyOf } from '../../routing/dns/domain-keys.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { Successor } from '../../schemas/frame.ts'
import type { Domain } from '../../schemas/text/names.ts'
import type { Signer, Verifier } from '../../wire/jws.ts'
import { KeyFolder } from './key-folder.ts'

/** `next`: signs when DNS shows it; `old`: signed once, and is believed while what it signed lives. */
export type KeyState = 'next' | 'current' | 'old'

export interface OwnKey {
  readonly selector: string
  readonly pair: KeyPair
  readonly signer: Signer
  /** The public side as peers see it. */
  readonly key: DomainKey
  /** Text of the TXT record at `fmtpkey.<domain>`. */
  readonly record: string
}

export type OwnDomains = ReadonlyMap<Domain, OwnDomain>

export function openDomains(names: readonly Domain[], dataFolder: string, nowMs = Date.now()): OwnDomains {
  const open = (name: Domain) => new OwnDomain(name, new KeyFolder(join(dataFolder, 'keys', name)), nowMs)
  return new Map(names.map(name => [name, open(name)]))
}

/** What a hello has room for before its reader knows who speaks. */
const successorsMost = 8
const successorsChars = 4096

export class OwnDomain {
  readonly domain: Domain
  readonly #folder: KeyFolder
  readonly #keys: Map<string, OwnKey>
  /** By the selector of the older key. */
  readonly #successors: Map<string, Successor>
  #current: string

  /** @throws {FmtpError} FMTP_CONFIG where a key file is none, or the one that signs is not there */
  constructor(domain: Domain, folder: KeyFolder, nowMs: number) {
    this.domain = domain
    this.#folder = folder
    const pairs = folder.readPairs()
    this.#keys = new Map([...pairs].map(([selector, pair]) => [selector, ownKey(selector, pair)]))
    this.#successors = folder.readSuccessors()
    this.#current = this.#findCurrent(nowMs)
  }

  #findCurrent(nowMs: number): string {
    const named = this.#folder.findCurrent()
    if (named !== undefined) {
      if (!this.#keys.has(named))
        throw new FmtpError('FMTP_CONFIG', `the key ${named} of ${this.domain} signs, but has no file`)
      return named
    }
    const last = [...this.#keys.keys()].at(-1)
    if (last === undefined) return this.#make().selector
    // Several keys of which nothing says which follows which: those that do not sign are old.
    for (const { selector } of [...this.#keys.values()])
      if (selector !== last && !this.#successors.has(selector)) this.#vouch(selector, last, nowMs)
    return last
  }

  #make(): OwnKey {
    const key = ownKey(...this.#folder.makePair())
    this.#keys.set(key.selector, key)
    return key
  }

  #vouch(selector: string, next: string, nowMs: number): void {
    const { pair: old } = this.require(selector)
    const successor = vouchFor({
      domain: this.domain,
      old,
      selector,
      next: this.require(next).pair.jwk,
      nowMs,
    })
    this.#folder.writeSuccessor(selector, successor)
    this.#successors.set(selector, successor)
  }

  /** The key that signs now. */
  get current(): OwnKey {
    return this.require(this.#current)
  }

  /** The key that is to sign when DNS shows it. */
  get next(): OwnKey | undefined {
    return this.keys.find(({ selector }) => this.stateOf(selector) === 'next')
  }

  /** In order of their selectors. */
  get keys(): readonly OwnKey[] {
    return [...this.#keys.values()]
  }

  /** What each older key says of the one that followed it, the newest first, as much as a hello takes. */
  get successors(): readonly Successor[] {
    const all = [...this.#successors].filter(([selector]) => selector !== this.#current)
    const newestFirst = all.map(([, each]) => each).sort((left, right) => startOf(right) - startOf(left))
    let chars = 0
    return newestFirst.slice(0, successorsMost).filter(each => {
      chars += JSON.stringify(each).length
      return chars <= successorsChars
    })
  }

  /** @throws {FmtpError} FMTP_NOT_FOUND */
  require(selector: string): OwnKey {
    const key = this.#keys.get(selector)
    if (key === undefined) throw new FmtpError('FMTP_NOT_FOUND', `${this.domain} has no key ${selector}`)
    return key
  }

  /** The public side of a key that is here, or was until it was deleted. */
  findVerifier(selector: string): Verifier | undefined {
    const successor = this.#successors.get(selector)
    return this.#keys.get(selector)?.key.verifier ?? (successor && verifierOf(successor.key))
  }

  stateOf(selector: string): KeyState {
    if (selector === this.#current) return 'current'
    return this.#successors.has(selector) ? 'old' : 'next'
  }

  /** When a key that is old now ceased to sign, unix ms. */
  findReplacedAtMs(selector: string): number | undefined {
    const successor = this.#successors.get(selector)
    return successor === undefined || selector === this.#current ? undefined : startOf(successor)
  }

  /** The key that is to sign next, made where there is none. */
  ensureNext(): OwnKey {
    if (this.next !== undefined) return this.next
    // A new key that came last in order must not sign after a crash.
    this.#folder.writeCurrent(this.#current)
    return this.#make()
  }

  /** Signs with this key from now on; the one before vouches for it. */
  switchTo(selector: string, nowMs: number): void {
    if (this.stateOf(selector) !== 'next') return
    this.#vouch(this.#current, selector, nowMs)
    this.#folder.writeCurrent(selector)
    this.#current = selector
  }

  /** Deletes a key that does not sign. @throws {FmtpError} FMTP_NOT_FOUND, FMTP_CONFIG for the one that signs */
  delete(selector: string): OwnKey {
    const key = this.require(selector)
    if (selector === this.#current) throw new FmtpError('FMTP_CONFIG', `${selector} signs for ${this.domain}`)
    this.#folder.deletePair(selector)
    this.#keys.delete(selector)
    return key
  }
}

function startOf({ credential }: Successor): number {
  return (readCredential(credential)?.payload.nbf ?? 0) * 1000
}

function ownKey(selector: string, pair: KeyPair): OwnKey {
  return {
    selector,
    pair,
    signer: signerOf(pair, selector),
    key: domainKeyOf(selector, pair.jwk),
    record: `v=FMTP1; k=ed25519; s=${selector}; p=${recordKeyOf(pair.jwk)}`,
  }
}
