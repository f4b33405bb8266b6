/**
 * A raw end of a connection: sends whatever a test wants, right or wrong, and keeps every frame that comes. Over TLS, a
 * WebSocket or the in-memory pair, so that one suite runs on all three.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:tls'
import { WebSocket } from 'ws'
import type { HelloFrame } from '../../schemas/frame.ts'
import type { Channel } from '../../wire/channel.ts'
import { channelPair } from '../../wire/pair.ts'
import { waitUntil } from './conditions.ts'
import { type HelloPlace, type HelloWho, handHello } from './hand.ts'

/** A frame as it came; tests look at the members they expect. */
export type Received = Readonly<Record<string, unknown>> & { readonly verb?: unknown }

/** What a transport does for a raw end. */
export interface RawPort {
  /** What this end signs to tie its hello to this very connection. */
  readonly binding: string
  /** Bytes as they are; a WebSocket and the pair send them as one text. */
  send(bytes: Uint8Array): void
  /** Stops and starts reading. */
  pause(): void
  resume(): void
  destroy(): void
}

export class RawEnd implements HelloPlace {
  readonly #port: RawPort
  readonly #lineEnd: string
  /** Every frame that came and was not taken by `next`. */
  readonly frames: Received[] = []
  /** The answerer's nonce where it greets first. */
  peerNonce: string | undefined
  isClosed = false
  /** Looks at each frame as it comes; true: it is done with, and not kept. */
  onFrame: (frame: Received) => boolean = () => false

  /** `lineEnd`: what follows a frame on this transport. */
  constructor(port: RawPort, lineEnd: string) {
    this.#port = port
    this.#lineEnd = lineEnd
  }

  get binding(): string {
    return this.#port.binding
  }

  /** Called by the transport with the text of one frame. */
  take(text: string): void {
    if (text === '') return
    const frame = JSON.parse(text) as Received
    if (!this.onFrame(frame)) this.frames.push(frame)
  }

  sendFrame(frame: object): void {
    this.sendText(JSON.stringify(frame))
  }

  sendText(text: string): void {
    this.sendBytes(Buffer.from(text + this.#lineEnd))
  }

  /** Without a line end. */
  sendBytes(bytes: Uint8Array): void {
    this.#port.send(bytes)
  }

  pause(): void {
    this.#port.pause()
  }

  resume(): void {
    this.#port.resume()
  }

  /** Takes the first frame that fits; other frames stay for later. */
  next(fits: (frame: Received) => boolean = () => true, limitMs = 5000): Promise<Received> {
    return waitUntil(
      'a frame that fits',
      () => {
        const at = this.frames.findIndex(fits)
        if (at !== -1) return this.frames.splice(at, 1)[0]
        if (this.isClosed) throw new Error(`closed, with only ${JSON.stringify(this.frames)}`)
        return undefined
      },
      limitMs,
    )
  }

  /** The answer to what was asked with this number. */
  answer(n: number): Promise<Received> {
    return this.next(({ verb, re }) => verb === 'answer' && re === n)
  }

  async ask(frame: {
    readonly verb: string
    readonly n: number
    readonly [member: string]: unknown
  }): Promise<Received> {
    this.sendFrame(frame)
    return this.answer(frame.n)
  }

  /** Says hello, and gives the answerer's. */
  async hello(to: string, who: HelloWho = {}, members: Partial<HelloFrame> = {}): Promise<Received> {
    this.sendFrame(handHello(this, to, who, members))
    const reply = await this.next(({ verb }) => verb === 'hello' || verb === 'goodbye')
    if (reply.verb === 'hello' && this.peerNonce !== undefined) this.peerNonce = String(reply.nonce)
    return reply
  }

  /** The code of the goodbye with which the other side ended. */
  async goodbye(): Promise<unknown> {
    const { code } = await this.next(({ verb }) => verb === 'goodbye')
    await this.closed()
    return code
  }

  async closed(): Promise<void> {
    await waitUntil('the other side closes', () => this.isClosed)
  }

  close(): void {
    this.#port.destroy()
  }
}

/** A TLS connection. `servername` is the domain that is called. */
export async function rawTls(host: string, port: number, servername: string): Promise<RawEnd> {
  const socket = connect({ host, port, servername, ALPNProtocols: ['fmtp/1'], rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const binding = socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0))
  const end = new RawEnd(
    {
      binding: binding.toString('base64url'),
      send: bytes => socket.write(bytes),
      pause: () => socket.pause(),
      resume: () => socket.resume(),
      destroy: () => socket.destroy(),
    },
    '\n',
  )
  let rest = ''
  socket.setEncoding('utf8')
  socket.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) end.take(line)
  })
  const close = (): void => {
    end.isClosed = true
  }
  socket.on('error', close)
  socket.on('close', close)
  return end
}

/** A WebSocket to `origin` (`http://127.77.2.1:8080`); resolves when the greeting has come. */
export async function rawWebSocket(origin: string): Promise<RawEnd> {
  const url = new URL('/fmtp', origin.replace(/^http/, 'ws'))
  const socket = new WebSocket(url, ['fmtp.1'], { perMessageDeflate: false })
  const end = new RawEnd(
    {
      binding: url.hostname,
      send: bytes => socket.send(bytes, { binary: false }),
      pause: () => socket.pause(),
      resume: () => socket.resume(),
      destroy: () => socket.terminate(),
    },
    '',
  )
  socket.on('message', (data: Buffer) => end.take(data.toString()))
  const close = (): void => {
    end.isClosed = true
  }
  socket.on('error', close)
  socket.on('close', close)
  await once(socket, 'open')
  end.peerNonce = String((await end.next()).nonce)
  return end
}

/** One end of a pair whose other end `serve` takes. */
export function rawPair(serve: (channel: Channel) => void): RawEnd {
  const [ours, theirs] = channelPair(randomBytes(32).toString('base64url'))
  const end = new RawEnd(
    {
      binding: ours.binding,
      send: bytes => ours.send(Buffer.from(bytes).toString()),
      pause: () => ours.pause(),
      resume: () => ours.resume(),
      destroy: () => ours.destroy(),
    },
    '',
  )
  ours.setFrameLimit(Number.MAX_SAFE_INTEGER)
  ours.open({
    onText: text => end.take(text),
    onClose: () => {
      end.isClosed = true
    },
  })
  serve(theirs)
  return end
}
