/**
 * Addresses on loopback that no other process has: 127.77.NET.1 to 127.77.NET.253, where NET is one that this process has
 * claimed by listening on its last address, so that the kernel gives it back when the process ends, however it does. Tests
 * run side by side, and in several checkouts, without a word between them. Networks below 100 are of `fmtp demo` and the benchmarks.
 */
import { once } from 'node:events'
import { createServer } from 'node:net'

const claimPort = 3600
const firstNet = 100
const lastNet = 250

async function claimNet(): Promise<number> {
  for (let net = firstNet; net <= lastNet; net++) {
    const claim = createServer(socket => socket.destroy())
    try {
      await once(claim.listen(claimPort, `127.77.${net}.254`), 'listening')
      claim.unref()
      return net
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw thrown
    }
  }
  throw new Error('all networks of loopback are taken')
}

const net = await claimNet()

/**
 * An address of this process. 1 to 199 are of `network.ts` and `hosts.ts`; a test takes its own from 200 on.
 */
export function ownAddress(host: number): string {
  return `127.77.${net}.${host}`
}
