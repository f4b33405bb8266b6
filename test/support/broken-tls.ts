/** A host on the way that changes a bit of what comes back: TLS begins and does not hold. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** Passes on to `to` and spoils each answer after so many bytes. */
export async function spoilingProxy(
  address: string,
  to: { readonly address: string; readonly port: number },
  afterBytes: number,
): Promise<AsyncDisposable & { readonly port: number }> {
  const sockets = new Set<Socket>()
  const server = createServer(near => {
    const far = connect({ host: to.address, port: to.port })
    for (const socket of [near, far]) sockets.add(socket.on('error', () => undefined))
    near.pipe(far)
    let passed = 0
    far.on('data', chunk => {
      const at = afterBytes - passed
      if (at >= 0 && at < chunk.length) chunk.writeUInt8(chunk.readUInt8(at) ^ 1, at)
      passed += chunk.length
      near.write(chunk)
    })
    far.on('close', () => near.destroy())
    near.on('close', () => far.destroy())
  })
  server.listen(0, address)
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
