/** Finds out whether a hello proves the name it gives (protocol §5.4): a domain by its key in DNS, a user by credential. */
import { isLive } from '../../objects/seals/credential.ts'
import { type DomainKeys, findCredential } from '../../objects/seals/seal.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { HelloFrame } from '../../schemas/frame.ts'
import { isAddressName, type Name } from '../../schemas/text/names.ts'
import { findProofKid, isProvenBy } from '../../wire/hello.ts'

/**
 * @throws {FmtpError} FMTP_PROOF, FMTP_CREDENTIAL, FMTP_CREDENTIAL_EXPIRED, and what fetching a key throws (temporary)
 */
export async function proveName(
  hello: HelloFrame,
  name: Name,
  keys: DomainKeys,
  nowMs: number,
): Promise<void> {
  const kid = findProofKid(hello)
  if (kid === undefined) throw new FmtpError('FMTP_PROOF', `${name} gave no proof`)
  if (isAddressName(name)) return proveUser(hello, name, keys, nowMs)
  // A key that cached DNS does not know may be new: asked once more.
  for (const isFresh of [false, true]) {
    for (const key of await keys.find(name, { isFresh })) {
      if (key.selector === kid && (await isProvenBy(hello, key.verifier))) return
    }
  }
  throw new FmtpError('FMTP_PROOF', `not made with a key that ${name} publishes`)
}

async function proveUser(hello: HelloFrame, name: Name, keys: DomainKeys, nowMs: number): Promise<void> {
  if (hello.credential === undefined) throw new FmtpError('FMTP_CREDENTIAL', `${name} gave no credential`)
  const found = await findCredential(hello.credential, name, keys)
  if (!('credential' in found)) throw new FmtpError('FMTP_CREDENTIAL', found.reason)
  const { credential } = found
  if (credential.sub !== name)
    throw new FmtpError('FMTP_CREDENTIAL', `vouches for ${credential.sub}, not ${name}`)
  if (!isLive(credential, nowMs) || credential.nbf * 1000 > nowMs + 300_000)
    throw new FmtpError('FMTP_CREDENTIAL_EXPIRED', name)
  if (findProofKid(hello) !== credential.thumbprint || !(await isProvenBy(hello, credential.verifier))) {
    throw new FmtpError('FMTP_PROOF', `not made with the key of ${name}'s credential`)
  }
}
