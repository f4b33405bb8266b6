/** A guest's call to one address of a domain, as strangers make it: TLS, hello, the domain's own object. */
import { type Clock, systemClock } from '../../objects/clock.ts'
import { type DomainKeys, sealedDigest, verifySeal } from '../../objects/seals/seal.ts'
import type { Peer } from '../../routing/connect/peer.ts'
import { hostPort } from '../../routing/connect/round-trips.ts'
import { createNote } from '../../routing/ladder.ts'
import { takeReply } from '../../routing/lookup/query.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import type { Kinds } from '../../schemas/parse-object.ts'
import { type Domain, makeObjectId } from '../../schemas/text/names.ts'
import { Probe } from '../protocol/probe.ts'
import { dialChannel } from '../transports/dial.ts'

export interface CallPlace {
  readonly host: string
  readonly address: string
  readonly port: number
}

export interface CallPorts {
  /** The keys that are believed of who answers. */
  readonly keys: DomainKeys
  readonly kinds: Kinds
  /** Domains that may be found where this one is. */
  readonly parents: readonly Domain[]
  readonly signal: AbortSignal
  readonly clock?: Clock
}

/** An open connection, to be closed; `binding` is what the other end knows it by. */
export interface Called {
  readonly probe: Probe
  readonly binding: string
}

/**
 * Calls the domain. Where its parent listens there, which answers for it only to servers that say who they are, the parent.
 * @throws {FmtpError} FMTP_CONNECT_FAILED, or the code with which a hello was refused
 */
export async function callAsGuest(domain: Domain, place: CallPlace, ports: CallPorts): Promise<Called> {
  try {
    return await callOne(domain, place, ports)
  } catch (thrown) {
    if (!(thrown instanceof FmtpError && thrown.code === 'FMTP_NOT_MINE')) throw thrown
    for (const parent of ports.parents) {
      const called = await callOne(parent, place, ports).catch(() => undefined)
      if (called !== undefined) return called
    }
    throw thrown
  }
}

async function callOne(to: Domain, place: CallPlace, ports: CallPorts): Promise<Called> {
  const { keys, signal, clock = systemClock } = ports
  const target = { protocol: 'tcp', ...place, to, as: to } as const
  const channel = await dialChannel(target, { note: createNote('check', { clock }), signal, ca: [], clock })
  const host = hostPort(place.host, place.port)
  const call = { caller: undefined, to, host, keys, clock, signal }
  return { probe: await Probe.call(channel, call), binding: channel.binding }
}

/** Version and digest of the `server` object that is given, which is sealed right. @throws {FmtpError} */
export async function askForServer(
  domain: Domain,
  peer: Peer,
  { keys, kinds, clock = systemClock }: Pick<CallPorts, 'keys' | 'kinds' | 'clock'>,
): Promise<{ readonly version: number; readonly digest: string }> {
  const reply = await peer.request({ address: domain, effort: 'own' })
  const object = takeReply(reply, makeObjectId('server', domain), kinds)
  if (object === undefined) throw new FmtpError('FMTP_ABSENT', `${peer.name} has no server.${domain}`)
  return requireSealed(object, { keys, clock })
}

/** @throws {FmtpError} where the keys of its domain did not seal it */
export async function requireSealed(
  object: FmtpObject,
  { keys, clock = systemClock }: Pick<CallPorts, 'keys' | 'clock'>,
): Promise<{ readonly version: number; readonly digest: string }> {
  const verdict = await verifySeal(object, keys, clock.now())
  if (!verdict.isBelieved) throw new FmtpError(verdict.code, verdict.reason)
  return { version: object.version, digest: sealedDigest(object) }
}
