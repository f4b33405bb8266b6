/** Two ends of a Channel in memory (protocol §4.1): what one sends the other gets, in order and never at once. */
import { FmtpError } from '../schemas/failures.ts'
import { limits } from '../schemas/limits.ts'
import { type Channel, type ChannelHandlers, Inbox } from './channel.ts'

/** `binding`: 32 random bytes in base64url that both ends were made with. */
export function channelPair(binding: string): [Channel, Channel] {
  const left = new PairEnd(binding)
  const right = new PairEnd(binding)
  left.join(right)
  right.join(left)
  return [left, right]
}

class PairEnd implements Channel {
  readonly transport = 'pair'
  readonly remote = 'pair'
  readonly isConfidential = true
  readonly unsentBytes = 0
  readonly binding: string
  readonly #inbox = new Inbox()
  #other: PairEnd | undefined
  #limitBytes: number = limits.frameBytesBeforeHello
  #isClosed = false

  constructor(binding: string) {
    this.binding = binding
  }

  join(other: PairEnd): void {
    this.#other = other
  }

  open(handlers: ChannelHandlers): void {
    this.#inbox.open(handlers)
  }

  send(text: string): void {
    if (!this.#isClosed) setImmediate(() => this.#other?.receive(text))
  }

  receive(text: string): void {
    if (this.#inbox.isEnded) return
    if (new TextEncoder().encode(text).length > this.#limitBytes) {
      return this.#inbox.end(new FmtpError('FMTP_FRAME_TOO_LARGE', `over ${this.#limitBytes} bytes`))
    }
    this.#inbox.push([text])
  }

  pause(): void {
    this.#inbox.pause()
  }

  resume(): void {
    this.#inbox.resume()
  }

  setFrameLimit(bytes: number): void {
    this.#limitBytes = bytes
  }

  close(): void {
    this.destroy()
  }

  destroy(): void {
    if (this.#isClosed) return
    setImmediate(() => this.#other?.lose())
    this.lose()
  }

  /** The other end is gone, or this one was closed. */
  lose(): void {
    this.#isClosed = true
    this.#inbox.end()
  }
}
