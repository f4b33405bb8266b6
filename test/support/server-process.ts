/**
 * The child of `process.ts`: composes the real server with a clock that messages from the parent move. The config is the
 * file named on the command line; production code knows nothing of this.
 */
import { parseAddress } from '../../schemas/names.ts'
import { loadConfig } from '../../server/config/load.ts'
import { createLog } from '../../server/log.ts'
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

async function obey(order: Order): Promise<string> {
  if ('advanceMs' in order) {
    clock.advance(order.advanceMs)
    return ''
  }
  const address = parseAddress(order.tokenFor)
  if (!server.accounts.hasAccount(address)) await server.accounts.create(address)
  return server.accounts.makeToken(address)
}

process.on('message', (order: Order) => {
  void obey(order).then(answer => process.send?.(answer))
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
const ready: Ready = { port: tcp.port, httpPort: http.port, keyRecord, jwk: pair.jwk }
process.send?.(ready)
