/**
 * A host on the way that can go without a word: it passes bytes on until it is told to stall, and then keeps what is
 * connected open and silent, as a machine that lost its power does. What connects afterwards passes again.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface StallingProxy extends AsyncDisposable {
  readonly port: number
  /** How many have connected. */
  readonly connections: number
  /** From now on nothing passes over what is connected, in either direction. */
  stall(): void
}

export async function stallingProxy(
  address: string,
  to: { readonly address: string; readonly port: number },
): Promise<StallingProxy> {
  const pairs: (readonly [Socket, Socket])[] = []
  // Who said all is not closed for it: that would be a word.
  const server = createServer({ allowHalfOpen: true }, near => {
    const far = connect({ host: to.address, port: to.port, allowHalfOpen: true })
    pairs.push([near, far])
    near.pipe(far)
    far.pipe(near)
    for (const socket of [near, far]) socket.on('error', () => undefined)
  })
  server.listen(0, address)
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return pairs.length
    },
    stall() {
      for (const [near, far] of pairs) {
        near.unpipe(far).resume()
        far.unpipe(near).resume()
      }
    },
    async [Symbol.asyncDispose]() {
      for (const socket of pairs.flat()) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
