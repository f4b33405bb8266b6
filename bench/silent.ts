/** Hosts that are gone: one that takes connections and never says a word, and one where nothing listens. */
import { createServer, type Server, type Socket } from 'node:net'
import { port } from './federation.ts'

export const silentAddress = '127.77.20.8'
export const refusingAddress = '127.77.20.9'

/** Takes connections and never says a word. */
export class Silent implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #calls = 0

  private constructor() {
    this.#server = createServer(socket => {
      this.#calls++
      this.#sockets.add(socket)
      socket.on('error', () => socket.destroy()).on('close', () => this.#sockets.delete(socket))
    })
  }

  static listen(): Promise<Silent> {
    const silent = new Silent()
    return new Promise((resolve, reject) => {
      silent.#server.once('error', reject).listen(port, silentAddress, () => resolve(silent))
    })
  }

  /** @throws where nobody called: then nothing was measured */
  check(): void {
    if (this.#calls === 0) throw new Error('no domain that is gone was called')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise(resolve => this.#server.close(resolve))
  }
}
