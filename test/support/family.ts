/**
 * Parents and children in a network: who may dial whom is in their guards, as a firewall would have it, and the SRV records of
 * those that can not be called from outside name the one that can as well.
 */
import type { Connection } from '../../client/connection.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { waitUntil } from './conditions.ts'
import {
  connectAs,
  enrol,
  type LogRecord,
  type Network,
  type ServerChoices,
  type TestServer,
} from './network.ts'

export interface FamilyChoices extends ServerChoices {
  /** Domains that it may dial. */
  readonly mayDial?: readonly string[]
  /** The server that answers calls to it from outside. */
  readonly front?: TestServer
}

/** Starts a server that may dial these alone. */
export async function serveBehind(
  network: Network,
  domain: string,
  { mayDial = [], front, ...choices }: FamilyChoices,
): Promise<TestServer> {
  const allow = mayDial.map(each => `${network.addressOf(each)}/32`)
  const server = await network.serve(domain, { ...choices, allow })
  if (front !== undefined) {
    const records = [`0 5 ${server.port} fmtp.${domain}`, `10 5 ${front.port} fmtp.${front.domain}`]
    network.zone.set(`_fmtp._tcp.${domain}`, 'SRV', records)
  }
  return server
}

const linkedMs = 15_000

/** Waits until a child's connection to its parent stands, for this many times. */
export function linked(
  child: Pick<TestServer, 'domain' | 'log'>,
  parent: string,
  times = 1,
): Promise<unknown> {
  const isLinked = ({ event, record }: LogRecord): boolean =>
    event === 'parent.linked' && record.parent === parent
  return waitUntil(
    `${child.domain} is linked to ${parent}`,
    () => child.log.filter(isLinked).length >= times,
    linkedMs,
  )
}

/** A client of somebody at a server, who gets an account there. It is among `clients`, to be closed. */
export async function clientAt(
  server: TestServer,
  local: string,
  clients: Connection[],
): Promise<Connection> {
  const client = await connectAs(server, await enrol(server, `${local}@${server.domain}`))
  clients.push(client)
  return client
}

/** What a client is told of an address or id. */
export async function ask(
  client: Connection,
  address: string,
  effort: 'own' | 'cache' | 'lookup' = 'lookup',
) {
  const { answer, describes } = await client.request({ address, effort })
  const object = describes[0]?.object as FmtpObject | undefined
  return { outcome: answer.outcome, code: answer.code, id: object?.id, object }
}

/** The steps of the ladder that a server took, from a place in its log on. */
export function stepsOf(server: Pick<TestServer, 'log'>, since = 0): string[] {
  return server.log
    .slice(since)
    .filter(({ event }) => event === 'route')
    .map(({ record }) => `${record.rung} ${record.what} ${record.outcome}`)
}
