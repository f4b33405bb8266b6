/** Who opens a connection to us (protocol §5.6): a guest, a domain, a user of another domain, or a client of ours. */
import type { Clock } from '../../objects/clock.ts'
import { thumbprintOf, verifierOf } from '../../objects/seals/keys.ts'
import type { DomainKeys } from '../../objects/seals/seal.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { HelloFrame } from '../../schemas/frame.ts'
import { type Address, type Domain, isAddressName, type Name } from '../../schemas/text/names.ts'
import type { Channel } from '../../wire/channel.ts'
import { findProofKid, isProvenBy } from '../../wire/hello.ts'
import type { Accounts } from '../accounts/accounts.ts'
import type { Standing } from '../accounts/principal.ts'
import { proveName } from './prove.ts'

export interface LoginPorts {
  readonly accounts: Accounts
  readonly keys: DomainKeys
  readonly clock: Clock
  /** Throws FMTP_FULL where the disk has no room for another device. */
  requireRoom(): void
  /** Counts a try with a token; throws FMTP_RATE over the limit. What it gives takes a right one back. */
  spendTry(remote: string, address: string): Promise<() => Promise<void>>
}

export interface Identity {
  readonly standing: Standing
  /** A new or renewed credential for the device that said hello. */
  readonly issued?: string
}

/** The standing that a checked hello to one of our domains earns. @throws {FmtpError} the codes of protocol §5.4 */
export async function identify(
  hello: HelloFrame,
  own: Domain,
  channel: Channel,
  ports: LoginPorts,
): Promise<Identity> {
  const { remote } = channel
  if (hello.as === undefined) return { standing: { role: 'guest', remote } }
  const name = hello.as as Name
  if (isAddressName(name) && ports.accounts.isOwn(name)) return identifyClient(hello, name, channel, ports)
  await proveName(hello, name, ports.keys, ports.clock.now())
  if (isAddressName(name)) return { standing: { role: 'user', name, remote } }
  return { standing: { role: 'server', name: name as Domain, as: own, remote } }
}

async function identifyClient(
  hello: HelloFrame,
  name: Address,
  channel: Channel,
  ports: LoginPorts,
): Promise<Identity> {
  const { accounts } = ports
  if (hello.token !== undefined) return identifyByToken(hello, hello.token, name, channel, ports)
  const kid = findProofKid(hello)
  if (kid === undefined) throw new FmtpError('FMTP_PROOF', `${name} gave no proof`)
  const jwk = accounts.findDeviceKey(name, kid)
  if (jwk === undefined) throw new FmtpError('FMTP_REVOKED', `${name} has no device ${kid}`)
  if (!(await isProvenBy(hello, verifierOf(jwk))))
    throw new FmtpError('FMTP_PROOF', `not made with device ${kid}`)
  const issued = accounts.renewedCredential(name, kid)
  // Revoked while its proof was looked at.
  if (issued === undefined) throw new FmtpError('FMTP_REVOKED', `${name} has no device ${kid}`)
  const standing: Standing = { role: 'client', name, remote: channel.remote, device: kid }
  return { standing, ...(issued === hello.credential ? {} : { issued }) }
}

async function identifyByToken(
  hello: HelloFrame,
  token: string,
  name: Address,
  channel: Channel,
  ports: LoginPorts,
): Promise<Identity> {
  if (!channel.isConfidential)
    throw new FmtpError('FMTP_NOT_ALLOWED', 'a token over a connection that others can read')
  const forgive = await ports.spendTry(channel.remote, name)
  const { key } = hello
  if (
    key !== undefined &&
    (findProofKid(hello) !== thumbprintOf(key) || !(await isProvenBy(hello, verifierOf(key))))
  ) {
    throw new FmtpError('FMTP_PROOF', 'the new key did not sign this hello')
  }
  if (key !== undefined) ports.requireRoom()
  const issued = await ports.accounts.redeem(name, token, key)
  await forgive()
  const device = key === undefined ? {} : { device: thumbprintOf(key) }
  const standing: Standing = { role: 'client', name, remote: channel.remote, ...device }
  return { standing, ...(issued === undefined ? {} : { issued }) }
}
