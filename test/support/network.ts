/**
 * Servers in this process with their own name server: real TLS, real DNS packets, real stores in temp folders, on loopback
 * addresses of their own. The resolver of each knows this zone alone. For tests, benchmarks and whoever plays with several
 * servers on one machine; `process.ts` starts one as a process of its own in such a network.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Connection, type Handlers } from '../../client/connection.ts'
import { dialHost, dialOrigin } from '../../client/dial.ts'
import type { Certificate } from '../../objects/seals/certificate.ts'
import {
  generateKeyPair,
  type KeyPair,
  signerOf,
  thumbprintOf,
  verifierOf,
} from '../../objects/seals/keys.ts'
import type { SealingKey } from '../../objects/seals/seal.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { PublicJwk } from '../../schemas/frame.ts'
import { domainOf, parseAddress, parseDomain } from '../../schemas/text/names.ts'
import { pinnedTo } from '../../server/cli/people/connect.ts'
import { type LoadedConfig, loadConfig } from '../../server/config/load.ts'
import type { Log } from '../../server/core/log.ts'
import { serveZone, type Zone, type ZoneQuery } from '../../server/demo/name-server.ts'
import { type RunningServer, startServer } from '../../server/server.ts'
import { isProvenBy } from '../../wire/hello.ts'
import { sharedCertificate } from './certificate.ts'
import { MovableClock } from './clock.ts'
import { type HandDomain, handDomain, randomNonce } from './hand.ts'
import { ownAddress } from './loopback.ts'

/** What tests change of a server's config; tables are added to those that every test server has. */
export interface ServerChoices {
  readonly limits?: Readonly<Record<string, number | readonly string[]>>
  readonly http?: Readonly<Record<string, number | boolean>>
  /** Patterns of domains that are not spoken with. */
  readonly block?: readonly string[]
  /** Other domains that the same server serves; they are published with it. */
  readonly also?: readonly string[]
  /** True: it takes datagrams too. */
  readonly udp?: boolean
  readonly dns?: Readonly<Record<string, boolean>>
  /** Its parents, and patterns of its children. */
  readonly parents?: readonly string[]
  readonly children?: readonly string[]
  /** Networks that it may dial. Default: all of a test. */
  readonly allow?: readonly string[]
  /** Port of TCP; SRV names it. Default: any that is free. */
  readonly port?: number
  /** `listen.contacts`. */
  readonly contacts?: readonly string[]
  /** Kinds that its operator adds: the JSON Schema of each by its name. */
  readonly kinds?: Readonly<Record<string, object>>
  /** HTTP is on loopback alone, and clients call this address to get there. Default: on that of the server. */
  readonly door?: string
  /** `log.level`. Default: errors. */
  readonly logLevel?: string
}

export interface LogRecord {
  readonly level: string
  readonly event: string
  readonly record: Readonly<Record<string, unknown>>
}

/** A place for one server: its config in a folder of its own. */
export interface Site {
  readonly domain: string
  readonly address: string
  readonly folder: string
  readonly config: LoadedConfig
}

export interface TestServer extends Site {
  readonly running: RunningServer
  readonly log: readonly LogRecord[]
  /** `http://address:port`, for WebSockets and pages. */
  readonly origin: string
  readonly port: number
}

/** Somebody with an enrolled device. */
export interface Person extends SealingKey {
  readonly address: string
  readonly pair: KeyPair
}

export class Network implements AsyncDisposable {
  readonly zone: Zone
  readonly clock = new MovableClock()
  readonly #servers = new Map<string, TestServer>()
  readonly #sites = new Map<string, Site>()
  readonly #reserved = new Map<string, string>()
  readonly #certificate: Certificate
  #lastHost = 10

  private constructor(zone: Zone, certificate: Certificate) {
    this.zone = zone
    this.#certificate = certificate
  }

  /** `lateMs`: how late `zone.fail(…, 'late')` makes an answer. */
  static async start(
    options: { readonly lateMs?: number; readonly onQuery?: (query: ZoneQuery) => void } = {},
  ): Promise<Network> {
    return new Network(
      await serveZone({ address: ownAddress(1), port: 0, records: [], ...options }),
      await sharedCertificate(),
    )
  }

  /** The address that a domain's server has, or will have. */
  addressOf(domain: string): string {
    const known = this.#sites.get(domain)?.address ?? this.#reserved.get(domain)
    const address = known ?? ownAddress(++this.#lastHost)
    this.#reserved.set(domain, address)
    return address
  }

  /** Writes the config of a server; the same folder again when it was here before. */
  site(domain: string, choices: ServerChoices = {}): Site {
    const before = this.#sites.get(domain)
    const folder = before?.folder ?? mkdtempSync(join(tmpdir(), 'fmtp-test-'))
    const address = this.addressOf(domain)
    const place = { domain, address, folder, nameServer: this.zone.server }
    const site = writeSite(place, choices, this.#certificate)
    this.#sites.set(domain, site)
    return site
  }

  /** Starts a server, or starts it again on what it has stored, and publishes its key and host. */
  async serve(domain: string, choices: ServerChoices = {}): Promise<TestServer> {
    const site = this.site(domain, choices)
    const log: LogRecord[] = []
    const running = await startServer(site.config, {
      log: keepingLog(log),
      software: { name: 'fmtp-test', version: '0' },
      clock: this.clock,
    })
    const [tcp] = running.tcp
    const [http] = running.http
    if (tcp === undefined || http === undefined) throw new Error('nothing listens')
    for (const own of running.domains.values())
      this.publish({ domain: own.domain, address: site.address }, own.current.record, tcp.port)
    const origin = `http://${site.address}:${http.port}`
    const server = { ...site, running, log, origin, port: tcp.port }
    this.#servers.set(domain, server)
    return server
  }

  /** The records that make a domain found: its key, and SRV to its server. */
  publish(site: Pick<Site, 'domain' | 'address'>, keyRecord: string, port: number): void {
    const host = `fmtp.${site.domain}`
    this.zone.set(`fmtpkey.${site.domain}`, 'TXT', [keyRecord])
    this.zone.set(`_fmtp._tcp.${site.domain}`, 'SRV', [`0 5 ${port} ${host}`])
    this.zone.set(host, 'A', [site.address])
  }

  /** A domain whose key the test holds, published, without a server. */
  hand(name: string): HandDomain {
    const domain = handDomain(name)
    this.zone.set(`fmtpkey.${name}`, 'TXT', [domain.record])
    return domain
  }

  /** A server that runs. */
  find(domain: string): TestServer {
    const server = this.#servers.get(domain)
    if (server === undefined) throw new Error(`no server of ${domain}`)
    return server
  }

  /** Stops one server; its data stay, so that `serve` can start it again. */
  async stop(domain: string): Promise<void> {
    await this.#servers.get(domain)?.running[Symbol.asyncDispose]()
    this.#servers.delete(domain)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const domain of [...this.#servers.keys()]) await this.stop(domain)
    await this.zone[Symbol.asyncDispose]()
    for (const { folder } of this.#sites.values()) rmSync(folder, { recursive: true, force: true })
  }
}

/** Writes the config of a server, and what it does not have to make then. */
export function writeSite(
  { nameServer, ...place }: Omit<Site, 'config'> & { readonly nameServer: string },
  choices: ServerChoices,
  certificate: Certificate,
): Site {
  const { domain, address, folder } = place
  const file = join(folder, 'fmtp.conf')
  writeFileSync(file, configText(domain, address, nameServer, choices))
  mkdirSync(join(folder, 'kinds'), { recursive: true })
  for (const [kind, schema] of Object.entries(choices.kinds ?? {}))
    writeFileSync(join(folder, 'kinds', `${kind}.json`), JSON.stringify(schema))
  mkdirSync(join(folder, 'data', 'tls'), { recursive: true })
  writeFileSync(join(folder, 'data', 'tls', 'cert.pem'), certificate.cert)
  writeFileSync(join(folder, 'data', 'tls', 'key.pem'), certificate.key, { mode: 0o600 })
  return { ...place, config: loadConfig(file) }
}

/** Makes an account and enrols a device for it, as the log-in link does. */
export async function enrol(server: TestServer, address: string): Promise<Person> {
  const { accounts } = server.running
  const name = parseAddress(address)
  if (!accounts.hasAccount(name)) await accounts.create(name)
  return enrolWith(server.origin, address, await accounts.makeToken(name), domainJwk(server))
}

/** Enrols a device with a token at the server whose domain key is `jwk`. */
export async function enrolWith(
  origin: string,
  address: string,
  token: string,
  jwk: PublicJwk,
): Promise<Person> {
  const pair = generateKeyPair()
  const connection = await Connection.open(await dialOrigin(origin), {
    domain: domainOf(parseAddress(address)),
    verifyServer: hello => requireProof(hello, jwk),
    randomNonce,
    login: { as: address, token, signer: signerOf(pair), key: pair.jwk },
  })
  connection.close()
  if (connection.issued === undefined) throw new Error('no credential was issued')
  return { address, pair, signer: signerOf(pair), credential: connection.issued }
}

/** A logged-in connection of a person's device, over WebSocket or TCP. */
export async function connectAs(
  server: TestServer,
  person: Person,
  handlers: Partial<Handlers> & { readonly over?: 'tcp' } = {},
): Promise<Connection> {
  const { over, ...others } = handlers
  const channel =
    over === 'tcp'
      ? await dialHost(server.address, server.port, server.domain)
      : await dialOrigin(server.origin)
  return Connection.open(channel, {
    randomNonce,
    ...others,
    domain: server.domain,
    verifyServer: hello => requireProof(hello, domainJwk(server)),
    login: { as: person.address, signer: person.signer, credential: person.credential },
  })
}

/** The same over WebSocket to a server of which only the domain key `jwk` is known. */
export async function connectWith(
  { origin, domain }: { readonly origin: string; readonly domain: string },
  person: Person,
  jwk: PublicJwk,
  handlers: Partial<Handlers> = {},
): Promise<Connection> {
  return Connection.open(await dialOrigin(origin), {
    randomNonce,
    ...handlers,
    domain,
    // As clients do, which follow a domain to its next key.
    verifyServer: pinnedTo(thumbprintOf(jwk)),
    login: { as: person.address, signer: person.signer, credential: person.credential },
  })
}

function domainJwk(server: TestServer): PublicJwk {
  const own = server.running.domains.get(parseDomain(server.domain))
  if (own === undefined) throw new Error('no domain')
  return own.current.pair.jwk
}

async function requireProof(hello: Parameters<typeof isProvenBy>[0], jwk: PublicJwk): Promise<void> {
  if (!(await isProvenBy(hello, verifierOf(jwk)))) throw new FmtpError('FMTP_PROOF')
}

function keepingLog(records: LogRecord[]): Log {
  const keepAt =
    (level: string) =>
    (record: LogRecord['record'], event: string): void => {
      records.push({ level, event, record })
    }
  return {
    debug: keepAt('debug'),
    info: keepAt('info'),
    warn: keepAt('warn'),
    error: keepAt('error'),
    isDebug: true,
  }
}

function configText(domain: string, address: string, nameServer: string, choices: ServerChoices): string {
  const limits = { exempt: ['127.0.0.0/8'], ...choices.limits }
  const table = (values: object): string =>
    Object.entries(values)
      .map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`)
      .join('')
  return `data = "data"
kinds = "${choices.kinds === undefined ? '' : 'kinds'}"
parents = ${JSON.stringify(choices.parents ?? [])}
children = ${JSON.stringify(choices.children ?? [])}
[[domain]]
name = "${domain}"
${(choices.also ?? []).map(name => `[[domain]]\nname = "${name}"\n`).join('')}[listen]
tcp = ["${address}:${choices.port ?? 0}"]
http = ["${choices.door === undefined ? address : '127.0.0.1'}:0"]
udp = ${choices.udp === true ? `["${address}:0"]` : '[]'}
hosts = ["${choices.door ?? address}"]
contacts = ${JSON.stringify(choices.contacts ?? [])}
[dns]
servers = ["${nameServer}"]
${table(choices.dns ?? {})}[guard]
allow = ${JSON.stringify(choices.allow ?? ['127.77.0.0/16'])}
[log]
level = "${choices.logLevel ?? 'error'}"
format = "json"
[block]
domains = ${JSON.stringify(choices.block ?? [])}
[http]
${table(choices.http ?? {})}
[limits]
${table(limits)}`
}
