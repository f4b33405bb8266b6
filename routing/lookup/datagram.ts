/**
 * Asks for one public object by datagrams (protocol §10.3): quick, and never more than a try. Nothing that comes is believed
 * for the way it came; who asked holds the object against its seal, and asks over a stream where nothing came.
 */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { isIP, isIPv6 } from 'node:net'
import { FmtpError } from '../../schemas/failures.ts'
import type { AnswerFrame } from '../../schemas/frame.ts'
import type { Contact } from '../../schemas/kinds/contact.ts'
import { limits } from '../../schemas/limits.ts'
import { type Domain, domainOf, type Name, type ObjectId, ownerOf } from '../../schemas/text/names.ts'
import { encodeQuestion, findFrame } from '../../wire/datagram.ts'
import { answerError, type Reply } from '../../wire/pairing.ts'
import type { SteadyClock, Timer } from '../../wire/steady-clock.ts'
import type { Breaker } from '../connect/circuit-breaker.ts'
import type { Guard } from '../connect/dial-guard.ts'
import type { Peers } from '../connect/peer.ts'
import { orderByWeight } from '../dns/hosts.ts'
import type { Resolver } from '../dns/resolver.ts'
import { findCanonicalIp } from '../ip.ts'
import type { Note } from '../ladder.ts'

export interface DatagramPorts {
  readonly resolver: Resolver
  readonly guard: Guard
  readonly peers: Peers
  readonly breaker: Breaker
  readonly clock: SteadyClock
  random(): number
  /** An island asks nobody. */
  readonly isIsland: boolean
}

export interface DatagramQuery {
  readonly sought: { readonly address: Name } | { readonly id: ObjectId }
  readonly id: ObjectId
  /** Those that the owner of the object is known to have. */
  readonly contacts: readonly Contact[]
  /** In whose name it would be asked over a stream. */
  readonly as: Domain
}

/** What was found; `undefined` where nobody takes datagrams, or none gave the object. Never rejects. */
export type AskByDatagram = (query: DatagramQuery, note: Note) => Promise<Reply | undefined>

interface Place {
  readonly host: string
  readonly port: number
}

/** How long each try waits for its answer, in ms. */
const triesMs = [250, 1000]
const placesMost = 2

export function createAskByDatagram(ports: DatagramPorts): AskByDatagram {
  const { resolver, guard, clock } = ports

  /** Contacts of the owner count before what the domain says. DNS has little time: the stream asks it again. */
  async function findPlaces({ contacts, id }: DatagramQuery): Promise<readonly Place[]> {
    const own = contacts.filter(({ protocol }) => protocol === 'udp')
    if (own.length > 0) return own.toSorted((left, right) => left.priority - right.priority)
    const { records } = await soon(clock, signal =>
      resolver.srv(`_fmtp._udp.${domainOf(ownerOf(id))}`, { signal }),
    )
    return orderByWeight(
      records.filter(({ host }) => host !== '.'),
      ports.random,
    )
  }

  async function findAddress(host: string): Promise<string> {
    if (isIP(host) !== 0) return host
    const { records } = await soon(clock, signal => resolver.addresses(host, { signal }))
    const [first] = records
    if (first === undefined) throw new FmtpError('FMTP_NO_HOST', host)
    return first
  }

  async function ask({ host, port }: Place, { sought, id }: DatagramQuery): Promise<Reply> {
    if (guard.isResting(`udp ${host}`, port)) throw new FmtpError('FMTP_RESTING', host)
    const address = await findAddress(host)
    guard.check(address, port)
    try {
      return replyOf(await exchangeDatagrams({ address, port }, sought, clock), id)
    } catch (thrown) {
      // What fails here costs more than a second each time. That something is too large for it is no fault.
      if (!(thrown instanceof FmtpError && thrown.code === 'FMTP_USE_STREAM')) guard.rest(`udp ${host}`, port)
      throw thrown
    }
  }

  return async (query, note) => {
    const domain = domainOf(ownerOf(query.id))
    if (ports.isIsland || ports.peers.find(domain, query.as) !== undefined) return undefined
    if (ports.breaker.findHeld(domain) !== undefined) return undefined
    const places = await findPlaces(query).catch(() => [])
    for (const place of places.slice(0, placesMost)) {
      const { host, port } = place
      const reply = await note
        .step('datagram', { host, port }, () => ask(place, query))
        .catch(() => undefined)
      if (reply !== undefined) return reply
    }
    return undefined
  }
}

async function soon<T>(clock: SteadyClock, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const over = new AbortController()
  const late = (): void => over.abort(new FmtpError('FMTP_TIMEOUT', 'DNS takes too long for a datagram'))
  const timer = clock.after(limits.datagramDnsMs, late)
  try {
    return await ask(over.signal)
  } finally {
    timer.stop()
  }
}

/** Of all that can be answered only the object itself is of use: it alone proves something. */
function replyOf({ object, ...answer }: AnswerFrame, id: ObjectId): Reply {
  if (answer.outcome !== 'found') throw answerError(answer)
  if (object === undefined || (object as { id?: unknown }).id !== id)
    throw new FmtpError('FMTP_BAD_OBJECT', `asked for ${id}`)
  return { answer, describes: [{ verb: 'describe', object }] }
}

/**
 * One question, twice if need be, and the answer to it: from where it was asked, with its number. All else is passed over
 * while the time lasts. A socket of its own gives each question a port that nobody can guess.
 * @throws {FmtpError} FMTP_TIMEOUT, FMTP_CONNECT_FAILED
 */
export function exchangeDatagrams(
  { address, port }: { readonly address: string; readonly port: number },
  sought: DatagramQuery['sought'],
  clock: SteadyClock,
): Promise<AnswerFrame> {
  const n = randomInt(1, 2 ** 48 - 1)
  const question = encodeQuestion({ verb: 'request', n, ...sought })
  const ip = findCanonicalIp(address)
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
    let timer: Timer | undefined
    let tries = 0
    let isOver = false
    const end = (settle: () => void): void => {
      if (isOver) return
      isOver = true
      timer?.stop()
      socket.close()
      settle()
    }
    const send = (): void => {
      if (isOver) return
      const waitMs = triesMs[tries++]
      if (waitMs === undefined)
        return end(() => reject(new FmtpError('FMTP_TIMEOUT', `${address}:${port}: no answer by UDP`)))
      socket.send(question)
      timer = clock.after(waitMs, send)
    }
    socket.on('error', cause =>
      end(() => reject(new FmtpError('FMTP_CONNECT_FAILED', cause.message, { cause }))),
    )
    socket.on('message', (message, from) => {
      if (from.port !== port || findCanonicalIp(from.address) !== ip) return
      if (message.length > question.length) return
      const frame = findFrame(message)
      if (frame?.verb === 'answer' && frame.re === n) end(() => resolve(frame))
    })
    socket.on('connect', send)
    socket.connect(port, address)
  })
}
