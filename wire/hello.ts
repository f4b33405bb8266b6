/**
 * Introductions (protocol §5): the members of a hello (§5.1), what is signed (§5.2), in which order, by whom. Pure: these functions make and judge hello
 * frames; who a key belongs to is the caller's to find out.
 */
import { canonicalText } from '../schemas/canonical.ts'
import { FmtpError } from '../schemas/failures.ts'
import type { HelloFrame, PublicJwk } from '../schemas/frame.ts'
import { readJws, type Signer, signDetached, type Verifier } from './jws.ts'

export const protocolVersion = 1

/** Somebody who can prove to be `as`: a domain with its domain key, or a user with a device's key and credential. */
export interface Introduction {
  readonly as: string
  readonly signer: Signer
  readonly credential?: string
  /** Sent along so that a reader without DNS can compare it with a thumbprint that it was given. */
  readonly key?: PublicJwk
}

type HelloMembers = Omit<HelloFrame, 'verb' | 'version' | 'proof'>

/** A hello frame of these members, with a proof where somebody signs. */
export function composeHello(members: HelloMembers, signer?: Signer): HelloFrame {
  const hello = { verb: 'hello', version: protocolVersion, ...members } as const
  if (signer === undefined) return hello
  return { ...hello, proof: signDetached('fmtp-hello', proofPayload(hello), signer) }
}

/** What the reader of a hello knows beforehand; each member that is given must be met. */
export interface Expected {
  readonly role: 'opens' | 'answers'
  /** The nonce this side sent and the hello must answer. */
  readonly peerNonce?: string
  /** The bindings that this connection may have: one on a stream, each own host on a WebSocket. */
  readonly bindings?: readonly string[]
  readonly as?: string
  readonly to?: readonly string[]
}

/**
 * The checks of a hello that need no key (protocol §5.4), in this order.
 * @throws {FmtpError} FMTP_VERSION, FMTP_REFLECTED, FMTP_NOT_MINE, FMTP_WRONG_PEER, FMTP_REPLAY, FMTP_BINDING
 */
export function checkHello(hello: HelloFrame, expected: Expected): void {
  if (hello.version !== protocolVersion) throw new FmtpError('FMTP_VERSION', `version ${hello.version}`)
  if (hello.role !== expected.role) throw new FmtpError('FMTP_REFLECTED', `role ${hello.role}`)
  if (expected.to !== undefined && (hello.to === undefined || !expected.to.includes(hello.to))) {
    throw new FmtpError('FMTP_NOT_MINE', `to ${hello.to}`)
  }
  if (expected.as !== undefined && hello.as !== expected.as) {
    throw new FmtpError('FMTP_WRONG_PEER', `as ${hello.as}, called ${expected.as}`)
  }
  if (expected.peerNonce !== undefined && hello.peerNonce !== expected.peerNonce)
    throw new FmtpError('FMTP_REPLAY')
  if (
    expected.bindings !== undefined &&
    (hello.binding === undefined || !expected.bindings.includes(hello.binding))
  ) {
    throw new FmtpError('FMTP_BINDING')
  }
}

/** The `kid` of a hello's proof: a domain key's selector or a device's thumbprint. `undefined`: no proof, or a broken one. */
export function findProofKid(hello: HelloFrame): string | undefined {
  return readProof(hello)?.kid
}

/** True if the proof of this hello was made with the key of `verifier`. */
export async function isProvenBy(hello: HelloFrame, verifier: Verifier): Promise<boolean> {
  const proof = readProof(hello)
  return proof !== undefined && (await verifier.verify(proof.input, proof.signature))
}

function readProof(hello: HelloFrame) {
  return hello.proof === undefined ? undefined : readJws(hello.proof, 'fmtp-hello', proofPayload(hello))
}

const encoder = new TextEncoder()

function proofPayload(hello: HelloFrame): Uint8Array {
  const { proof: _, ...rest } = hello
  return encoder.encode(canonicalText(rest))
}
