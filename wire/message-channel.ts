/**
 * A Channel over a WebSocket, one frame a text message (protocol §4.1). The socket is described by what is used of it:
 * the browser's own and the `ws` package both fit.
 */
import { FmtpError } from '../schemas/failures.ts'
import { limits } from '../schemas/limits.ts'
import { type Channel, Inbox, type Transport } from './channel.ts'

export interface MessageSocket {
  readonly bufferedAmount: number
  onmessage: ((event: { data: unknown }) => void) | null
  onclose: ((event: { code: number; reason: string }) => void) | null
  onerror: ((event: { message?: string }) => void) | null
  send(text: string): void
  close(code?: number, reason?: string): void
  /** Only some sockets can wait, close at once, or gather what is written in one turn. */
  pause?(): void
  resume?(): void
  terminate?(): void
  cork?(): void
  uncork?(): void
}

export interface MessageChannelOptions {
  readonly remote: string
  readonly binding: string
  readonly isConfidential: boolean
}

const encoder = new TextEncoder()
const messageTooBig = 1009

export function messageChannel(socket: MessageSocket, options: MessageChannelOptions): Channel {
  const transport: Transport = 'websocket'
  const inbox = new Inbox()
  let limitBytes: number = limits.frameBytesBeforeHello
  let isClosed = false
  let isCorked = false

  function lose(error?: FmtpError): void {
    isClosed = true
    inbox.end(error)
  }

  function uncork(): void {
    isCorked = false
    socket.uncork?.()
  }

  return {
    transport,
    ...options,
    get unsentBytes() {
      return socket.bufferedAmount
    },
    open(handlers) {
      socket.onmessage = ({ data }) => {
        if (inbox.isEnded) return
        if (typeof data !== 'string') return inbox.end(new FmtpError('FMTP_NOT_JSON', 'a binary message'))
        // A UTF-16 unit is at most three bytes of UTF-8: most texts need no count.
        if (data.length * 3 > limitBytes && encoder.encode(data).length > limitBytes) {
          return inbox.end(new FmtpError('FMTP_FRAME_TOO_LARGE', `over ${limitBytes} bytes`))
        }
        inbox.push([data])
      }
      socket.onclose = ({ code }) =>
        lose(
          code === messageTooBig
            ? new FmtpError('FMTP_FRAME_TOO_LARGE', 'the message was refused')
            : undefined,
        )
      socket.onerror = ({ message }) => {
        const isTooBig = message?.includes('Max payload size exceeded') === true
        lose(new FmtpError(isTooBig ? 'FMTP_FRAME_TOO_LARGE' : 'FMTP_DISCONNECTED', message))
      }
      inbox.open(handlers)
      socket.resume?.()
    },
    send(text) {
      if (isClosed) return
      if (!isCorked && socket.cork !== undefined) {
        isCorked = true
        socket.cork()
        setImmediate(uncork)
      }
      socket.send(text)
    },
    pause() {
      inbox.pause()
      socket.pause?.()
    },
    resume() {
      inbox.resume()
      if (!inbox.isPaused) socket.resume?.()
    },
    setFrameLimit(bytes) {
      limitBytes = bytes
    },
    close() {
      if (isClosed) return
      socket.close(1000)
      lose()
      // One that is not read never sees the other side's close.
      socket.resume?.()
    },
    destroy() {
      if (socket.terminate === undefined) socket.close()
      else socket.terminate()
      lose()
    },
  }
}
