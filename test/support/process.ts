/**
 * A server as a process of its own, in a network of `network.ts`: the real `server/server.ts`, started by
 * `server-process.ts` with a clock that this side moves. Nothing of it is shared but DNS, sockets and its folder.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Server as Listener } from 'node:net'
import type { Connection, Handlers } from '../../client/connection.ts'
import { formatLink } from '../../client/link.ts'
import { thumbprintOf } from '../../objects/seals/keys.ts'
import type { PublicJwk } from '../../schemas/frame.ts'
import { parseAddress } from '../../schemas/text/names.ts'
import {
  connectWith,
  enrolWith,
  type Network,
  type Person,
  type ServerChoices,
  type Site,
} from './network.ts'

/** What the runner is told. Each is answered. */
export type Order =
  | { readonly advanceMs: number }
  /** Makes the account where there is none, and a token for it. */
  | { readonly tokenFor: string }
  /** Comes with a listening server: whoever calls there is passed on to HTTP. */
  | { readonly door: true }
  /** Calls a host, and says `open` or the code of the system; `ETIMEDOUT` where nothing came in time. */
  | { readonly call: { readonly host: string; readonly port: number; readonly limitMs: number } }

/** What the runner says when it serves. */
export interface Ready {
  readonly port: number
  readonly httpPort: number
  readonly keyRecord: string
  /** The same of each of its domains. */
  readonly keyRecords: readonly (readonly [domain: string, record: string])[]
  readonly jwk: PublicJwk
}

export interface ServerProcess extends Site, AsyncDisposable {
  readonly origin: string
  readonly port: number
  readonly child: ChildProcess
  /** Moves its clock ahead. */
  advance(ms: number): Promise<void>
  /** Calls a host from where it is: `open`, or why not in the system's words, such as `ECONNREFUSED`. */
  call(host: string, port: number, limitMs: number): Promise<string>
  makeToken(address: string): Promise<string>
  /** The log-in link of an address, for the command line. */
  makeLink(address: string): Promise<string>
  enrol(address: string): Promise<Person>
  connect(person: Person, handlers?: Partial<Handlers>): Promise<Connection>
  /** SIGTERM, and what it ends with: exit code or signal. */
  stop(): Promise<number | string>
  /** SIGKILL, and resolves when it is gone. */
  kill(): Promise<void>
}

/**
 * Starts a server process on the site of this domain, or again on what it has stored, and publishes its key and host. Its
 * clock is `aheadMs` ahead of the time from the start on.
 */
export async function startProcess(
  network: Network,
  domain: string,
  choices: ServerChoices = {},
  aheadMs = 0,
): Promise<ServerProcess> {
  const site = network.site(domain, choices)
  const { ready, server } = await startAt(site, { aheadMs })
  network.publish(site, ready.keyRecord, ready.port)
  return server
}

export interface StartOptions {
  readonly aheadMs?: number
  /** What runs node. */
  readonly under?: readonly string[]
  /** Takes what it logs. Default: our own standard error. */
  readonly logTo?: number
  /** Where clients call, and what takes their calls there until it serves. Default: where it listens. */
  readonly door?: { readonly origin: string; readonly listener: Listener }
}

/** The same for a site that somebody else publishes. */
export async function startAt(
  site: Site,
  { aheadMs = 0, under = [], logTo, door }: StartOptions = {},
): Promise<{ readonly ready: Ready; readonly server: ServerProcess }> {
  const [execPath = '', ...execArgv] = [...under, process.execPath]
  const child = fork(new URL('server-process.js', import.meta.url), [site.config.file, String(aheadMs)], {
    ...{ execPath, execArgv },
    stdio: ['ignore', logTo ?? 'inherit', logTo ?? 'inherit', 'ipc'],
  })
  const exited = once(child, 'exit')
  // One order after the other: answers come in the order of the orders.
  let turn: Promise<unknown> = Promise.race([
    once(child, 'message'),
    exited.then(([code]) => Promise.reject(new Error(`the server process ended with ${code}`))),
  ])
  const [ready] = (await turn) as [Ready]

  function tell(order: Order, listener?: Listener): Promise<string> {
    const answered = turn.then(async () => {
      child.send(order, listener)
      const [answer] = (await once(child, 'message')) as [string]
      return answer
    })
    turn = answered
    return answered
  }

  if (door !== undefined) await tell({ door: true }, door.listener)
  const { domain } = site
  const origin = door?.origin ?? `http://${site.address}:${ready.httpPort}`
  const stop = async (): Promise<number | string> => {
    child.kill('SIGTERM')
    const [code, signal] = (await exited) as [number | null, string | null]
    return code ?? signal ?? 'unknown'
  }
  const server: ServerProcess = {
    ...site,
    origin,
    port: ready.port,
    child,
    advance: async ms => {
      await tell({ advanceMs: ms })
    },
    call: (host, port, limitMs) => tell({ call: { host, port, limitMs } }),
    makeToken: address => tell({ tokenFor: address }),
    makeLink: async address => {
      const token = await tell({ tokenFor: address })
      return formatLink({
        origin,
        address: parseAddress(address),
        token,
        thumbprint: thumbprintOf(ready.jwk),
      })
    },
    enrol: async address => enrolWith(origin, address, await tell({ tokenFor: address }), ready.jwk),
    connect: (person, handlers) => connectWith({ origin, domain }, person, ready.jwk, handlers),
    stop,
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) await stop()
    },
  }
  return { ready, server }
}
