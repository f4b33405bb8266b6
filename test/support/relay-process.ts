/**
 * Somebody in the middle, as a process of its own, that passes every byte both ways and tells the parent how many it had
 * from callers: `relay-process.js end|pass LISTEN-ADDRESS LISTEN-PORT ADDRESS PORT`. With `end` it ends TLS with whoever
 * calls and calls the true server in turn, so that it could read and change all; with `pass` it sees what a wire sees.
 */
import { connect as connectPlain, createServer as createPlainServer, type Socket } from 'node:net'
import { connect, createServer } from 'node:tls'
import { makeCertificate } from '../../objects/seals/certificate.ts'

const [mode, listenAddress, listenPort, host = '', port] = process.argv.slice(2)
let readBytes = 0

function join(caller: Socket, called: Socket): void {
  caller.on('data', chunk => {
    readBytes += chunk.length
    process.send?.({ readBytes })
  })
  for (const [from, to] of [
    [caller, called],
    [called, caller],
  ] as const) {
    from.on('data', chunk => to.write(chunk))
    from.on('end', () => to.end())
    from.on('error', () => to.destroy())
    from.on('close', () => to.destroySoon())
  }
}

const there = { host, port: Number(port) }
const tls = { servername: 'lenore.org', rejectUnauthorized: false, ALPNProtocols: ['fmtp/1'] }
const server =
  mode === 'pass'
    ? createPlainServer(caller => join(caller, connectPlain(there)))
    : createServer(
        { ...(await makeCertificate('lenore.org', Date.now())), ALPNProtocols: ['fmtp/1'] },
        caller => join(caller, connect({ ...there, ...tls })),
      )
server.on('tlsClientError', () => undefined)
server.listen({ host: listenAddress, port: Number(listenPort) }, () => process.send?.({ readBytes }))
process.on('disconnect', () => process.exit(0))
