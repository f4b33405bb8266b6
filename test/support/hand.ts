/**
 * Domains and users played by hand: their keys are the test's own, so that it can sign whatever it wants, right or wrong.
 * A domain needs no server; its record in the zone is enough to be believed.
 */
import { randomBytes } from 'node:crypto'
import { mintId } from '../../objects/id.ts'
import { issueCredential } from '../../objects/seals/credential.ts'
import { generateKeyPair, type KeyPair, recordKeyOf, signerOf } from '../../objects/seals/keys.ts'
import { type SealingKey, sealObject } from '../../objects/seals/seal.ts'
import type { HelloFrame } from '../../schemas/frame.ts'
import type { Message } from '../../schemas/kinds/message.ts'
import type { User } from '../../schemas/kinds/user.ts'
import type { FmtpObject, Unsealed } from '../../schemas/object.ts'
import { makeObjectId, type Name } from '../../schemas/text/names.ts'
import { composeHello } from '../../wire/hello.ts'
import type { Signer } from '../../wire/jws.ts'

export interface HandDomain {
  readonly name: string
  readonly pair: KeyPair
  /** Signs hellos and credentials in the domain's name. */
  readonly signer: Signer
  /** Text of its record at `fmtpkey.<name>`. */
  readonly record: string
}

export interface HandUser extends SealingKey {
  readonly address: Name
  readonly pair: KeyPair
}

export function handDomain(name: string): HandDomain {
  const pair = generateKeyPair()
  return {
    name,
    pair,
    signer: signerOf(pair, 'hand'),
    record: `v=FMTP1; k=ed25519; s=hand; p=${recordKeyOf(pair.jwk)}`,
  }
}

/** A user with a new key that `domain` vouches for: from now on, or as if enrolled and asked at `nowMs`. */
export function handUser(domain: HandDomain, address: string, nowMs = Date.now()): HandUser {
  const pair = generateKeyPair()
  const credential = issueCredential(
    { sub: address, jwk: pair.jwk, enrolledAtMs: nowMs, nowMs },
    domain.signer,
  )
  return { address: address as Name, pair, signer: signerOf(pair), credential }
}

/** A sealed message of `from`; `members` add to it or replace what it says. */
export function handMessage(from: HandUser, to: readonly string[], members: Partial<Message> = {}): Message {
  const nowMs = Date.now()
  const unsealed = {
    body: 'Nevermore',
    createdAt: new Date(nowMs).toISOString(),
    format: 'text/plain',
    id: mintId(from.address, nowMs),
    kind: 'message',
    owner: from.address,
    to: [...to],
    version: nowMs,
    ...members,
  }
  return sealObject(unsealed as Unsealed<Message>, from).object
}

/** A sealed user object of `from`, as its home would show it to everyone. */
export function handProfile(from: HandUser, members: Partial<User> = {}): FmtpObject {
  const nowMs = Date.now()
  const unsealed = {
    createdAt: new Date(nowMs).toISOString(),
    id: makeObjectId('user', from.address),
    kind: 'user',
    owner: from.address,
    public: true,
    version: nowMs,
    view: 'everyone',
    ...members,
  }
  return sealObject(unsealed as Unsealed<User>, from).object
}

/** What a hello needs to know of the connection it is said on. */
export interface HelloPlace {
  readonly binding: string
  /** On a WebSocket, the nonce with which the answerer greeted. */
  readonly peerNonce: string | undefined
}

export interface HelloWho {
  readonly as?: string
  readonly signer?: Signer
  readonly credential?: string
}

/** An opening hello of whoever it may be; `members` replace what is signed. */
export function handHello(
  place: HelloPlace,
  to: string,
  who: HelloWho = {},
  members: Partial<HelloFrame> = {},
): HelloFrame {
  const { as, signer, credential } = who
  const { peerNonce, binding } = place
  return composeHello(
    {
      role: 'opens',
      to,
      nonce: randomNonce(),
      ...(as === undefined ? {} : { as, binding }),
      ...(peerNonce === undefined ? {} : { peerNonce }),
      ...(credential === undefined ? {} : { credential }),
      ...members,
    },
    signer,
  )
}

export function randomNonce(): string {
  return randomBytes(16).toString('base64url')
}
