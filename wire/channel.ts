/**
 * A Channel carries texts of one frame each, in order, both ways (protocol §4.1). Streams, WebSockets and the
 * in-memory pair of the tests differ in nothing else, so that one engine serves them all.
 */
import type { FmtpError } from '../schemas/failures.ts'

export type Transport = 'tcp' | 'websocket' | 'pair'

export interface ChannelHandlers {
  /** One frame, without its line end. Not called while the channel is paused. */
  onText(text: string): void
  /**
   * Called once: nothing more is read. Without an error the other side closed in good order; after one that the channel
   * found itself it still sends, until it is closed.
   */
  onClose(error?: FmtpError): void
}

export interface Channel {
  readonly transport: Transport
  /** For logs and limits: IP address of the other side, or `pair`. */
  readonly remote: string
  /**
   * What ties a proof to this very connection (protocol §5.3): 32 bytes of the TLS exporter in base64url on TCP, the
   * host that was dialled at the opening end of a WebSocket, and empty at its answering end.
   */
  readonly binding: string
  /** False where somebody on the way could read: a token is never sent over it. */
  readonly isConfidential: boolean
  /** Bytes that were sent and not yet taken by the socket. */
  readonly unsentBytes: number
  open(handlers: ChannelHandlers): void
  send(text: string): void
  /** Stops `onText` until `resume`; the other side feels it by the transport's own flow control. */
  pause(): void
  resume(): void
  /** Frames of more bytes than this end the channel with FMTP_FRAME_TOO_LARGE. */
  setFrameLimit(bytes: number): void
  /** Sends what waits, then closes. */
  close(): void
  /** Closes now. */
  destroy(): void
}

/**
 * The receiving side of a channel: keeps texts while paused, so that `onText` is never called when the engine asked for a
 * pause, and tells once that nothing more comes.
 */
export class Inbox {
  #waiting: string[] = []
  #isPaused = true
  #isEnded = false
  #handlers: ChannelHandlers | undefined

  get isPaused(): boolean {
    return this.#isPaused
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  open(handlers: ChannelHandlers): void {
    this.#handlers = handlers
    this.resume()
  }

  push(texts: readonly string[]): void {
    if (this.#waiting.length > 0 || this.#isPaused) {
      for (const text of texts) this.#waiting.push(text)
      if (!this.#isPaused) this.#drain()
      return
    }
    for (let index = 0; index < texts.length; index++) {
      this.#handlers?.onText(texts[index] as string)
      if (this.#isPaused) {
        this.#waiting = texts.slice(index + 1)
        return
      }
    }
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    if (!this.#isPaused || this.#isEnded || this.#handlers === undefined) return
    this.#isPaused = false
    this.#drain()
  }

  /** Nothing is read any more. Until the channel is closed the other side can still be told why. */
  end(error?: FmtpError): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#isPaused = true
    this.#waiting = []
    this.#handlers?.onClose(error)
  }

  #drain(): void {
    const texts = this.#waiting
    this.#waiting = []
    if (texts.length > 0) this.push(texts)
  }
}
