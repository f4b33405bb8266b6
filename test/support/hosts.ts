/**
 * Servers on hosts of their own: each is a process in a network of its own (`namespace.ts`) with its own address, and all
 * that joins them is a router with a firewall (`wall.ts`). A name server is among them, which tells those behind the wall more
 * than the world. Clients come in by a door: an address of this process (`loopback.ts`) whose calls are passed on to the host.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Certificate } from '../../objects/seals/certificate.ts'
import { limits } from '../../schemas/limits.ts'
import type { ZoneFault } from '../../server/demo/name-server.ts'
import type { ZoneType } from '../../server/demo/zone-text.ts'
import { sharedCertificate } from './certificate.ts'
import { Command } from './fmtp-process.ts'
import { ownAddress } from './loopback.ts'
import { Namespace } from './namespace.ts'
import { type LogRecord, type ServerChoices, writeSite } from './network.ts'
import { type ServerProcess, startAt } from './process.ts'
import { Wall } from './wall.ts'
import type { View, ZoneOrder } from './zone-process.ts'

export interface HostChoices extends ServerChoices {
  /** It is behind the wall, and may call these alone. */
  readonly mayCall?: readonly string[]
  /** The host that the world is told to call for this domain. Default: its own. */
  readonly front?: string
}

export interface HostServer extends ServerProcess {
  readonly keyRecord: string
  /** All that it has logged since its host is there. */
  readonly log: readonly LogRecord[]
}

interface Host {
  readonly namespace: Namespace
  readonly address: string
  /** Where clients of this host call. */
  readonly door: string
  readonly folder: string
}

/** Of its address, which is 10.77.NUMBER.2. */
const nameServerNumber = 1
/** Doors come after the addresses that `network.ts` gives. */
const firstDoor = 150
const port = limits.defaultPort

export class Hosts implements AsyncDisposable {
  readonly wall: Wall
  readonly #router: Namespace
  readonly #certificate: Certificate
  readonly #folder = mkdtempSync(join(tmpdir(), 'fmtp-hosts-'))
  readonly #hosts = new Map<string, Host>()
  readonly #servers = new Set<ServerProcess>()
  #nameServer: ChildProcess | undefined
  #lastNumber = nameServerNumber - 1
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(router: Namespace, wall: Wall, certificate: Certificate) {
    this.#router = router
    this.wall = wall
    this.#certificate = certificate
  }

  /** A router and a name server. `lateMs`: how late `fail(…, 'late')` makes an answer. */
  static async start({ lateMs = 200 }: { readonly lateMs?: number } = {}): Promise<Hosts> {
    const [certificate, router] = await Promise.all([sharedCertificate(), Namespace.make()])
    await router.run('echo 1 > /proc/sys/net/ipv4/ip_forward')
    const hosts = new Hosts(router, await Wall.build(router), certificate)
    try {
      await hosts.#serveNames(lateMs)
      return hosts
    } catch (thrown) {
      await hosts[Symbol.asyncDispose]()
      throw thrown
    }
  }

  /** The networks that this consists of, as the kernel calls them. */
  get ids(): readonly string[] {
    return [this.#router, ...[...this.#hosts.values()].map(({ namespace }) => namespace)].map(({ id }) => id)
  }

  addressOf(domain: string): string {
    return this.#require(domain).address
  }

  /** What a command is run under to be on this host. */
  underOf(domain: string): readonly string[] {
    return this.#require(domain).namespace.under
  }

  /** A host of this name in the network, on which nothing runs. */
  async place(name: string): Promise<string> {
    const known = this.#hosts.get(name)
    if (known !== undefined) return known.address
    const number = ++this.#lastNumber
    const namespace = await Namespace.make()
    const folder = join(this.#folder, name)
    mkdirSync(folder)
    const [network, address, door] = [`10.77.${number}`, `10.77.${number}.2`, ownAddress(firstDoor + number)]
    this.#hosts.set(name, { namespace, address, door, folder })
    await this.#router.run(`
ip link add to${number} type veth peer name out netns ${namespace.pid}
ip addr add ${network}.1/24 dev to${number}
ip link set to${number} up`)
    await namespace.run(`
ip addr add ${address}/24 dev out
ip addr add ${network}.3/24 dev out
ip link set out up
ip route add default via ${network}.1`)
    return address
  }

  /** Starts the server of a domain, or starts it again on what it has stored, and publishes its key and where it is called. */
  async serve(domain: string, choices: HostChoices = {}): Promise<HostServer> {
    const { mayCall, front = domain, ...others } = choices
    await this.place(domain)
    const { address, door, folder, namespace } = this.#require(domain)
    if (mayCall !== undefined)
      await this.wall.shelter(
        address,
        mayCall.map(each => this.addressOf(each)),
      )
    const nameServer = `10.77.${nameServerNumber}.${mayCall === undefined ? 2 : 3}:53`
    const site = writeSite(
      { domain, address, folder, nameServer },
      { allow: ['10.77.0.0/16'], logLevel: 'debug', ...others, port, door },
      this.#certificate,
    )
    const listener = createServer().listen(0, door)
    await once(listener, 'listening')
    const origin = `http://${door}:${(listener.address() as AddressInfo).port}`
    const logFile = join(folder, 'log')
    const logTo = openSync(logFile, 'a')
    const { ready, server } = await startAt(site, {
      ...{ under: namespace.under, logTo, door: { origin, listener } },
    }).catch(thrown => {
      throw new Error(`${domain}: ${readFileSync(logFile, 'utf8')}`, { cause: thrown })
    })
    closeSync(logTo)
    // From here on it is the process that listens there.
    listener.close()
    this.#servers.add(server)
    for (const [each, record] of ready.keyRecords) {
      await this.set(`fmtpkey.${each}`, 'TXT', [record])
      await this.point(each, this.addressOf(front), 'outside')
      await this.point(each, address, 'inside')
    }
    const { keyRecord } = ready
    return {
      ...{ ...server, keyRecord },
      get log() {
        return readLog(logFile)
      },
    }
  }

  /** SRV, MX and address of a domain lead here. */
  async point(domain: string, address: string, view?: View): Promise<void> {
    const host = `fmtp.${domain}`
    await this.set(host, 'A', [address], view)
    await this.set(domain, 'A', [address], view)
    await this.set(domain, 'MX', [`10 ${host}`], view)
    await this.set(`_fmtp._tcp.${domain}`, 'SRV', [`0 5 ${port} ${host}`], view)
  }

  /** Replaces all records of a name and type, as the world sees them, those behind the wall, or both. */
  async set(name: string, type: ZoneType, values: readonly string[], view?: View): Promise<void> {
    for (const each of view === undefined ? (['outside', 'inside'] as const) : [view])
      await this.#order({ view: each, set: [name, type, values] })
  }

  /** From now on this fault for this name and type; none ends it. */
  fail(name: string, type: ZoneType, fault?: ZoneFault): Promise<void> {
    return this.#order({ fail: [name, type, ...(fault === undefined ? [] : [fault])] as never })
  }

  /** Runs `fmtp` on the host of a domain. */
  async run(domain: string, ...args: string[]): Promise<Command> {
    const command = new Command({
      ...{ folder: this.#require(domain).folder, name: `run-${args[0]}`, args },
      under: this.underOf(domain),
    })
    await command.closed()
    return command
  }

  async #serveNames(lateMs: number): Promise<void> {
    const address = await this.place('names')
    const inside = address.replace(/2$/, '3')
    await this.wall.nameServer(address)
    await this.wall.nameServer(inside)
    const [execPath = '', ...execArgv] = [...this.underOf('names'), process.execPath]
    this.#nameServer = fork(new URL('zone-process.js', import.meta.url), [address, inside, String(lateMs)], {
      execPath,
      execArgv,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    await once(this.#nameServer, 'message')
  }

  #order(order: ZoneOrder): Promise<void> {
    const answered = this.#turn.then(async () => {
      this.#nameServer?.send(order)
      await once(this.#nameServer as ChildProcess, 'message')
    })
    this.#turn = answered
    return answered
  }

  #require(domain: string): Host {
    const host = this.#hosts.get(domain)
    if (host === undefined) throw new Error(`no host ${domain}`)
    return host
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // At once: who is behind a wall waits for nobody.
    await Promise.all([...this.#servers].map(server => server[Symbol.asyncDispose]()))
    const names = this.#nameServer
    if (names !== undefined && names.exitCode === null && names.signalCode === null) {
      names.kill('SIGKILL')
      await once(names, 'exit')
    }
    const namespaces = [...this.#hosts.values()].map(({ namespace }) => namespace)
    for (const each of [...namespaces, this.#router]) await each[Symbol.asyncDispose]()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function readLog(file: string): LogRecord[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter(line => line.startsWith('{') && line.endsWith('}'))
    .map(line => {
      const { level, event, ...record } = JSON.parse(line) as { level: number; event: string }
      return { level: String(level), event, record }
    })
}
