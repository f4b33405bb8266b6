/**
 * A small authoritative name server over dns2's codec, UDP and TCP on one port, for the demo and for tests
 * (protocol §10): records and faults change while it runs. The package's own server dies of a datagram without
 * question or from port 0 and answers answers, so it reads from our sockets, behind our checks.
 */

import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, isIPv6, type Server, type Socket } from 'node:net'
import { Packet } from 'dns2'
import { datagramBytes, findHead, isHarmless } from '../../routing/dns/message.ts'
import { defaultTtlSeconds, parseRecord, type ZoneRecord, type ZoneType } from './zone-text.ts'

/**
 * What a test can make of one name and type: an error code, no answer at all, TC by UDP, forged answers before
 * the true one, an answer after `lateMs`.
 */
export type ZoneFault = 'servfail' | 'refused' | 'silence' | 'truncate' | 'spoof' | 'late'

export interface ZoneQuery {
  readonly name: string
  /** `TXT`, `A`, …, or `TYPE65` of one the codec does not know. */
  readonly type: string
  readonly from: 'udp' | 'tcp'
}

export interface ZoneOptions {
  /** The IP address to listen on. */
  readonly address: string
  /** 0 takes a free one, the same for UDP and TCP. */
  readonly port: number
  readonly records: readonly ZoneRecord[]
  /** The domains it answers for; what is below none of them is REFUSED. Default: it answers for every name. */
  readonly origins?: readonly string[]
  /** How late `late` answers are, in ms. Default 200. */
  readonly lateMs?: number
  /** Called for each well-formed query, before its answer. */
  readonly onQuery?: (query: ZoneQuery) => void
}

/** How long absence may be kept, in seconds: the minimum of the SOA. */
export const zoneAbsentSeconds = 30

const mostConnections = 64
const idleMs = 5000
const mostAliases = 8
const plainBytes = 512
const mostUnreadBytes = 256 * 1024

type Resource = Packet['answers'][number]
interface RecordSet {
  readonly ttlSeconds: number
  readonly values: readonly string[]
}

/**
 * A running zone server; ends with `await using` or its asyncDispose.
 * @throws the system's error when the address and port can not be bound; FMTP_CONFIG for records that are none.
 */
export async function serveZone(options: ZoneOptions): Promise<Zone> {
  const { address, port } = options
  const records = options.records.map(({ name, type, value, ttlSeconds }) =>
    parseRecord(name, type, value, ttlSeconds),
  )
  for (let attempt = 1; ; attempt++) {
    const tcp = createServer()
    tcp.maxConnections = mostConnections
    const udp = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
    try {
      tcp.listen(port, address)
      await once(tcp, 'listening')
      udp.bind((tcp.address() as AddressInfo).port, address)
      await once(udp, 'listening')
      return new Zone(udp, tcp, { ...options, records })
    } catch (error) {
      tcp.close()
      udp.close()
      // A port that is free for TCP may be taken for UDP: another one then, if the choice is ours.
      if (port !== 0 || attempt === 10) throw error
    }
  }
}

export class Zone implements AsyncDisposable {
  readonly address: string
  readonly port: number
  readonly #udp: UdpSocket
  readonly #tcp: Server
  readonly #origins: readonly string[] | undefined
  readonly #lateMs: number
  readonly #onQuery: (query: ZoneQuery) => void
  /** True: it says AD to whom asks for it, as a resolver does that has checked DNSSEC. */
  isAuthentic = false
  readonly #names = new Map<string, Map<ZoneType, RecordSet>>()
  readonly #faults = new Map<string, ZoneFault>()
  readonly #connections = new Set<Socket>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #isClosed = false

  constructor(udp: UdpSocket, tcp: Server, options: ZoneOptions) {
    this.address = options.address
    this.port = udp.address().port
    this.#udp = udp
    this.#tcp = tcp
    this.#origins = options.origins
    this.#lateMs = options.lateMs ?? 200
    this.#onQuery = options.onQuery ?? (() => undefined)
    for (const record of options.records) this.#add(record)
    udp.on('message', (message, from) => this.#onDatagram(message, from))
    udp.on('error', () => undefined)
    tcp.on('connection', socket => this.#onConnection(socket))
    tcp.on('error', () => undefined)
  }

  /** `ip:port` or `[ip]:port`, as createResolver takes it. */
  get server(): string {
    return isIPv6(this.address) ? `[${this.address}]:${this.port}` : `${this.address}:${this.port}`
  }

  /**
   * Replaces all records of a name and type; no values removes them.
   * @throws {FmtpError} FMTP_CONFIG for a value that is none of this type; nothing is changed then.
   */
  set(name: string, type: ZoneType, values: readonly string[], ttlSeconds: number = defaultTtlSeconds): void {
    const records = values.map(value => parseRecord(name, type, value, ttlSeconds))
    const key = normalise(name)
    this.#names.get(key)?.delete(type)
    if (this.#names.get(key)?.size === 0) this.#names.delete(key)
    for (const record of records) this.#add(record)
  }

  /** From now on this fault for this name and type; `undefined` ends it. */
  fail(name: string, type: ZoneType, fault: ZoneFault | undefined): void {
    const key = `${normalise(name)} ${type}`
    if (fault === undefined) this.#faults.delete(key)
    else this.#faults.set(key, fault)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const timer of this.#timers) clearTimeout(timer)
    for (const socket of this.#connections) socket.destroy()
    const closed = [once(this.#udp, 'close'), once(this.#tcp, 'close')]
    this.#udp.close()
    this.#tcp.close()
    await Promise.all(closed)
  }

  #add({ name, type, ttlSeconds, value }: ZoneRecord): void {
    const types = this.#names.get(name) ?? new Map<ZoneType, RecordSet>()
    const values = [...(types.get(type)?.values ?? []), value]
    this.#names.set(name, types.set(type, { ttlSeconds, values }))
  }

  #onDatagram(message: Buffer, from: RemoteInfo): void {
    // Port 0 can not be answered; trying to throws inside the socket.
    if (from.port === 0) return
    const send = (answer: Buffer): void => {
      // A late or a forged answer may outlive the server; a closed socket throws.
      if (!this.#isClosed) this.#udp.send(answer, from.port, from.address, () => undefined)
    }
    this.#handle(message, 'udp', send, (forged, done) => this.#sendFromElsewhere(forged, from, done))
  }

  #onConnection(socket: Socket): void {
    this.#connections.add(socket)
    let received: Buffer = Buffer.alloc(0)
    socket.setTimeout(idleMs, () => socket.destroy())
    socket.on('error', () => undefined)
    socket.on('close', () => this.#connections.delete(socket))
    socket.on('data', chunk => {
      received = Buffer.concat([received, chunk])
      while (received.length >= 2) {
        const length = received.readUInt16BE(0)
        // Too long for a query, or one who asks and never reads.
        if (length > datagramBytes || socket.writableLength > mostUnreadBytes) {
          socket.destroy()
          return
        }
        if (received.length < 2 + length) return
        const message = received.subarray(2, 2 + length)
        received = received.subarray(2 + length)
        this.#handle(message, 'tcp', answer => {
          const prefix = Buffer.alloc(2)
          prefix.writeUInt16BE(answer.length)
          socket.write(Buffer.concat([prefix, answer]))
        })
      }
    })
  }

  /** Answers one message, or drops it. Never throws: nothing that comes from the network may end the process. */
  #handle(
    message: Buffer,
    from: 'udp' | 'tcp',
    send: (answer: Buffer) => void,
    sendFromElsewhere?: (forged: Buffer, done: () => void) => void,
  ): void {
    try {
      const query = findQuery(message)
      const question = query?.questions[0]
      if (query === undefined || question === undefined) return
      const name = question.name.toLowerCase()
      const type = Packet.typeName(question.type)
      this.#onQuery({ name, type, from })
      const fault = this.#faults.get(`${name} ${type}`)
      if (fault === 'silence') return
      const mostBytes = from === 'udp' ? findSpace(query) : 0xffff
      const answer = encodeWithin(this.#answer(query, fault, from), query, mostBytes)
      if (fault === 'late') this.#later(() => send(answer))
      else if (fault === 'spoof' && sendFromElsewhere !== undefined) {
        const forged = forge(query)
        for (const wrong of spoil(forged)) send(wrong)
        sendFromElsewhere(forged, () => send(answer))
      } else send(answer)
    } catch {
      // A query that can not be answered is dropped; its sender asks again or gives up.
    }
  }

  #answer(query: Packet, fault: ZoneFault | undefined, from: 'udp' | 'tcp'): Packet {
    const response = Packet.createResponseFromRequest(query)
    const { RCODE } = Packet
    const [question] = query.questions
    const origin = this.#findOrigin(question?.name.toLowerCase() ?? '')
    const isOurs = question?.class === Packet.CLASS.IN && origin !== undefined
    response.header.aa = isOurs ? 1 : 0
    if (this.isAuthentic) Object.assign(response.header, { ad: 1 })
    if (query.header.opcode !== 0 || question?.type === Packet.TYPE.ANY) response.header.rcode = RCODE.NOTIMP
    else if (fault === 'servfail') response.header.rcode = RCODE.SERVFAIL
    else if (fault === 'refused' || question === undefined || !isOurs) response.header.rcode = RCODE.REFUSED
    else if (fault === 'truncate' && from === 'udp') response.header.tc = 1
    else this.#fill(response, question.name.toLowerCase(), question.type, origin)
    return response
  }

  /** Records, or the SOA that says there are none; aliases are followed as far as this zone knows them. */
  #fill(response: Packet, asked: string, typeCode: number, origin: string): void {
    let name = asked
    for (let aliases = 0; aliases < mostAliases; aliases++) {
      const types = this.#names.get(name)
      const found = [...(types ?? [])].find(([type]) => Packet.TYPE[type] === typeCode)
      const alias = types?.get('CNAME')
      if (found !== undefined) {
        const [type, { ttlSeconds, values }] = found
        response.answers.push(...values.map(value => encode({ name, type, ttlSeconds, value })))
        return
      }
      const [target] = alias?.values ?? []
      if (alias === undefined || target === undefined) break
      response.answers.push(encode({ name, type: 'CNAME', ttlSeconds: alias.ttlSeconds, value: target }))
      name = target
      // What lies outside is for others to answer.
      if (this.#findOrigin(name) === undefined) return
    }
    if (!this.#exists(name)) response.header.rcode = Packet.RCODE.NXDOMAIN
    response.authorities.push(createSoa(origin))
  }

  /** A name exists too when only names below it have records (RFC 8020). */
  #exists(name: string): boolean {
    return this.#names.has(name) || [...this.#names.keys()].some(known => known.endsWith(`.${name}`))
  }

  #findOrigin(name: string): string | undefined {
    if (this.#origins === undefined) return ''
    return this.#origins.find(origin => name === origin || name.endsWith(`.${origin}`))
  }

  #sendFromElsewhere(forged: Buffer, to: RemoteInfo, done: () => void): void {
    const stranger = createSocket(isIPv6(this.address) ? 'udp6' : 'udp4')
    stranger.on('error', () => undefined)
    stranger.bind(0, this.address, () => {
      stranger.send(forged, to.port, to.address, () => {
        stranger.close()
        done()
      })
    })
  }

  #later(act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      act()
    }, this.#lateMs)
    this.#timers.add(timer)
  }
}

/** A query that is safe to decode and has one question; `undefined` for anything else, answers above all. */
function findQuery(message: Buffer): Packet | undefined {
  const head = findHead(message)
  // Two servers that answer answers would talk for ever.
  if (head === undefined || head.isAnswer || message.length > datagramBytes) return undefined
  if (head.questions !== 1 || head.answers + head.authorities > 0 || head.additionals > 2) return undefined
  if (!isHarmless(message)) return undefined
  const query = Packet.parse(message)
  return query.errors.length > 0 ? undefined : query
}

/** Octets that the asker takes in one datagram. */
function findSpace(query: Packet): number {
  const edns = query.additionals.find(record => record.type === Packet.TYPE.EDNS)
  return Math.min(Math.max(edns?.class ?? plainBytes, plainBytes), datagramBytes)
}

/** The bytes of a response; without its records and with TC if these do not fit. */
function encodeWithin(response: Packet, query: Packet, mostBytes: number): Buffer {
  if (query.additionals.some(record => record.type === Packet.TYPE.EDNS)) {
    response.additionals.push(Packet.Resource.EDNS([], { udpPayloadSize: datagramBytes }))
  }
  const bytes = response.toBuffer()
  if (bytes.length <= mostBytes) return bytes
  response.answers = []
  response.authorities = []
  response.header.tc = 1
  return response.toBuffer()
}

/** An answer as an attacker would like it believed: a false text, or that there is nothing. */
function forge(query: Packet): Buffer {
  const response = Packet.createResponseFromRequest(query)
  const [question] = query.questions
  if (question?.type === Packet.TYPE.TXT) {
    response.answers.push(encode({ name: question.name, type: 'TXT', ttlSeconds: 300, value: 'forged' }))
  }
  return response.toBuffer()
}

/** The forged answer with another id, as a query, with another opcode, and to another question. */
function spoil(forged: Buffer): Buffer[] {
  const change = (at: number, bits: number): Buffer => {
    const copy = Buffer.from(forged)
    copy.writeUInt8(copy.readUInt8(at) ^ bits, at)
    return copy
  }
  const firstLetter = 13
  return [
    change(1, 0x01),
    change(2, 0x80),
    change(2, 0x08),
    change(firstLetter, 0x01),
    Buffer.from('nonsense'),
  ]
}

function encode({ name, type, ttlSeconds, value }: ZoneRecord): Resource {
  const record = new Packet.Resource(name, Packet.TYPE[type], Packet.CLASS.IN, ttlSeconds)
  const words = value.split(' ')
  const host = words.at(-1) ?? ''
  const [first = 0, second = 0, third = 0] = words.map(Number)
  switch (type) {
    case 'A':
    case 'AAAA':
      return Object.assign(record, { address: value })
    case 'CNAME':
      return Object.assign(record, { domain: host })
    case 'MX':
      return Object.assign(record, { priority: first, exchange: host })
    case 'SRV':
      return Object.assign(record, { priority: first, weight: second, port: third, target: host })
    case 'TXT':
      return Object.assign(record, { data: splitText(value) })
  }
}

/** Strings of at most 255 octets, no character cut in two: the codec writes longer ones corrupt. */
function splitText(text: string): string[] {
  const strings: string[] = []
  let string = ''
  let octets = 0
  for (const character of text) {
    const more = Buffer.byteLength(character)
    if (octets + more > 255) {
      strings.push(string)
      string = ''
      octets = 0
    }
    string += character
    octets += more
  }
  return [...strings, string]
}

function createSoa(origin: string): Resource {
  const soa = new Packet.Resource(origin, Packet.TYPE.SOA, Packet.CLASS.IN, zoneAbsentSeconds)
  return Object.assign(soa, {
    primary: origin,
    admin: `hostmaster.${origin}`,
    serial: 1,
    refresh: 3600,
    retry: 600,
    expiration: 86400,
    minimum: zoneAbsentSeconds,
  })
}

function normalise(name: string): string {
  return name.toLowerCase().replace(/(.)\.$/, '$1')
}
