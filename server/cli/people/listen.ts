/**
 * `fmtp listen`: stays logged in and takes what the home passes on; with `--bind` also what other servers bring directly
 * (protocol §5.8). What happens is logged as JSON lines on standard error, messages are shown on standard output.
 */
import { parseArgs } from 'node:util'
import { Connection } from '../../../client/connection.ts'
import { systemClock } from '../../../objects/clock.ts'
import { decideReach, decideReadable, isForwarded } from '../../../objects/policy.ts'
import { makeCertificate } from '../../../objects/seals/certificate.ts'
import { signerOf } from '../../../objects/seals/keys.ts'
import { type DomainKeys, verifySeal } from '../../../objects/seals/seal.ts'
import { createResolver, systemServers } from '../../../routing/dns/client.ts'
import { createDomainKeys } from '../../../routing/dns/domain-keys.ts'
import { FmtpError, toFmtpError } from '../../../schemas/failures.ts'
import type { DescribeFrame } from '../../../schemas/frame.ts'
import type { User } from '../../../schemas/kinds/user.ts'
import { parseAnyObject } from '../../../schemas/parse-object.ts'
import { findEndpoint } from '../../../schemas/text/formats.ts'
import { type Address, domainOf, type Name } from '../../../schemas/text/names.ts'
import type { Channel } from '../../../wire/channel.ts'
import type { Answer } from '../../../wire/pairing.ts'
import { createLog, type Log } from '../../core/log.ts'
import { proveName } from '../../protocol/prove.ts'
import { listenTcp } from '../../transports/tcp.ts'
import { connectDevice, randomNonce } from './connect.ts'
import { requestOwnUser } from './contact.ts'
import { type Device, devicePair, requireDevice } from './identity.ts'
import { line } from './list.ts'

export async function listen(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      as: { type: 'string' },
      bind: { type: 'string' },
      dns: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
    },
  })
  const device = requireDevice(values.as)
  const log = await createLog({ level: 'debug', format: 'json' })
  const shown = new Set<string>()

  function take({ object }: DescribeFrame, from: string): Answer {
    const { id, version, kind } = parseAnyObject(object)
    log.info({ id, kind, from }, 'taken')
    const key = `${id} ${version}`
    if (shown.has(key)) return { outcome: 'duplicate', id, version }
    shown.add(key)
    process.stdout.write(line(object, values.json))
    return { outcome: 'stored', id, version }
  }

  let close = (): void => undefined
  const closed = new Promise<void>(resolve => {
    close = resolve
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => close())
  const connection = await connectDevice(device, {
    onDescribe: async frame => take(frame, 'home'),
    onClose: () => close(),
  })
  const listener =
    values.bind === undefined
      ? undefined
      : await listenDirectly(values.bind, values.dns, device, {
          log,
          take,
          findUser: () => requestOwnUser(connection, device),
        })
  log.info({ address: device.address, bind: values.bind }, 'listening')
  await closed
  connection.close()
  await listener?.close()
  return 0
}

interface Taking {
  readonly log: Log
  take(frame: DescribeFrame, from: string): Answer
  /** The listener's own lists and policy, as they are now. */
  findUser(): Promise<User>
}

async function listenDirectly(
  bind: string,
  dns: readonly string[],
  device: Device,
  { log, take, findUser }: Taking,
) {
  const endpoint = findEndpoint(bind)
  if (endpoint === undefined) throw new FmtpError('FMTP_CONFIG', `--bind ${bind} is not ADDRESS:PORT`)
  const resolver = createResolver({ servers: dns.length > 0 ? dns : systemServers() })
  const keys = createDomainKeys({
    resolver,
    clock: systemClock,
    findOwn: () => undefined,
    onEvent: () => undefined,
  })

  async function answer(channel: Channel): Promise<void> {
    let caller: Name = domainOf(device.address)
    await Connection.accept(channel, {
      as: device.address,
      signer: signerOf(devicePair(device)),
      credential: device.credential,
      randomNonce,
      verifyCaller: async hello => {
        caller = hello.as as Name
        await proveName(hello, caller, keys, Date.now())
      },
      onDescribe: async frame => {
        await judgeDirect(frame.object, { address: device.address, caller, keys, user: await findUser() })
        return take(frame, caller)
      },
    })
    log.info({ caller }, 'called')
  }

  const listener = await listenTcp({
    endpoint,
    certificate: await makeCertificate(device.address.slice(device.address.indexOf('@') + 1), Date.now()),
    maxConnections: 100,
    onChannel: channel => {
      answer(channel).catch(thrown => log.info({ code: toFmtpError(thrown).code }, 'caller.refused'))
    },
  })
  return {
    close: async () => {
      await listener.close()
      await resolver[Symbol.asyncDispose]()
    },
  }
}

interface Approach {
  readonly address: Address
  /** The name that proved itself to call. */
  readonly caller: Name
  readonly keys: DomainKeys
  /** The listener's own object, with lists and policy. */
  readonly user: User
}

/** What the home would do with an object: the same seal, the same lists. @throws {FmtpError} as the home refuses */
export async function judgeDirect(value: unknown, { address, caller, keys, user }: Approach): Promise<void> {
  const object = parseAnyObject(value)
  const verdict = await verifySeal(object, keys, Date.now())
  if (!verdict.isBelieved) throw new FmtpError(verdict.code, verdict.reason)
  const isForward = isForwarded(object, address, caller)
  const judged = isForward ? caller : object.owner
  const reach = decideReach(user, { judged, isForward, hasTakenPart: false })
  for (const decision of [reach, decideReadable(user, object)]) {
    if (!decision.isAccepted) throw new FmtpError(decision.code, decision.reason)
  }
}
