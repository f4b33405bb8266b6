/**
 * The child of `process.ts`: composes the real server with a clock that messages from the parent move. The config is the
 * file named on the command line; production code knows nothing of this.
 */
import { connect, type Server as Listener } from 'node:net'
import { parseAddress } from '../../schemas/text/names.ts'
import { loadConfig } from '../../server/config/load.ts'
import { createLog } from '../../server/core/log.ts'
import { startServer } from '../../server/server.ts'
import { MovableClock } from './clock.ts'
import type { Order, Ready } from './process.ts'

const config = loadConfig(process.argv[2] ?? '')
const clock = new MovableClock()
clock.advance(Number(process.argv[3] ?? 0))
const server = await startServer(config, {
  log: await createLog(config.log),
  software: { name: 'fmtp-test', version: '0' },
  clock,
})

/** Clients of another network come in by a listener of theirs. */
function openDoor(listener: Listener): void {
  const port = server.http[0]?.port ?? 0
  listener.on('connection', near => {
    const far = connect({ host: '127.0.0.1', port })
    near.pipe(far).pipe(near)
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      socket.on('error', () => undefined)
      socket.on('close', () => other.destroy())
    }
  })
}

async function call({ host, port, limitMs }: Extract<Order, { call: unknown }>['call']): Promise<string> {
  const socket = connect({ host, port, timeout: limitMs })
  try {
    return await new Promise(resolve => {
      socket.once('connect', () => resolve('open'))
      socket.once('timeout', () => resolve('ETIMEDOUT'))
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    })
  } finally {
    socket.destroy()
  }
}

async function obey(order: Order, handle: unknown): Promise<string> {
  if ('door' in order) {
    openDoor(handle as Listener)
    return ''
  }
  if ('call' in order) return call(order.call)
  if ('advanceMs' in order) {
    clock.advance(order.advanceMs)
    return ''
  }
  const address = parseAddress(order.tokenFor)
  if (!server.accounts.hasAccount(address)) await server.accounts.create(address)
  return server.accounts.makeToken(address)
}

process.on('message', (order: Order, handle) => {
  void obey(order, handle).then(answer => process.send?.(answer))
})
// The parent is gone: nobody else would end this process.
process.on('disconnect', () => process.exit(1))
process.once('SIGTERM', () => {
  void server[Symbol.asyncDispose]().then(() => process.exit(0))
})

const [tcp] = server.tcp
const [http] = server.http
const [own] = server.domains.values()
if (tcp === undefined || http === undefined || own === undefined) throw new Error('nothing listens')
const { record: keyRecord, pair } = own.current
const keyRecords = [...server.domains.values()].map(each => [each.domain, each.current.record] as const)
const ready: Ready = { port: tcp.port, httpPort: http.port, keyRecord, keyRecords, jwk: pair.jwk }
process.send?.(ready)
