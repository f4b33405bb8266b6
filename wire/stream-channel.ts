/**
 * A Channel over a stream of bytes, one frame a line (protocol §4.1). The stream is described by what is used of it,
 * so that this file needs no Node: a TLS socket fits.
 */
import { FmtpError } from '../schemas/failures.ts'
import { limits } from '../schemas/limits.ts'
import { type Channel, Inbox } from './channel.ts'
import { LineReader } from './codec.ts'

export interface ByteStream {
  readonly writableLength: number
  write(text: string): boolean
  end(): void
  destroy(): void
  pause(): void
  resume(): void
  on(event: 'data', listener: (chunk: Uint8Array) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'end' | 'close', listener: () => void): unknown
}

/** How long the other side may take to close after we did, before the socket is taken from it. */
const lingerMs = 2000

export interface StreamChannelOptions {
  readonly remote: string
  readonly binding: string
}

export function streamChannel(stream: ByteStream, options: StreamChannelOptions): Channel {
  const reader = new LineReader(limits.frameBytesBeforeHello)
  const inbox = new Inbox()
  let isClosed = false
  let outgoing: string[] = []
  let outgoingChars = 0

  function lose(error?: FmtpError): void {
    isClosed = true
    inbox.end(error)
  }

  // One write per turn of the event loop: many small frames become one TLS record.
  function flush(): void {
    if (outgoing.length === 0) return
    const text = outgoing.join('')
    outgoing = []
    outgoingChars = 0
    stream.write(text)
  }

  return {
    transport: 'tcp',
    remote: options.remote,
    binding: options.binding,
    isConfidential: true,
    get unsentBytes() {
      return stream.writableLength + outgoingChars
    },
    open(handlers) {
      stream.on('data', chunk => {
        if (inbox.isEnded) return
        const { lines, error } = reader.push(chunk)
        if (lines.length > 0) inbox.push(lines)
        if (error !== undefined) inbox.end(error)
      })
      stream.on('error', cause => lose(new FmtpError('FMTP_DISCONNECTED', cause.message, { cause })))
      stream.on('end', () => {
        stream.end()
        lose()
      })
      stream.on('close', () => lose())
      inbox.open(handlers)
      stream.resume()
    },
    send(text) {
      if (isClosed) return
      if (outgoing.length === 0) setImmediate(flush)
      outgoing.push(text, '\n')
      outgoingChars += text.length + 1
    },
    pause() {
      inbox.pause()
      stream.pause()
    },
    resume() {
      inbox.resume()
      if (!inbox.isPaused) stream.resume()
    },
    setFrameLimit(bytes) {
      reader.setLimit(bytes)
    },
    close() {
      if (isClosed) return
      flush()
      stream.end()
      lose()
      // A socket that is not read never sees the other side's end, and one that never ends must not be kept.
      stream.resume()
      const timer = setTimeout(() => stream.destroy(), lingerMs).unref()
      stream.on('close', () => clearTimeout(timer))
    },
    destroy() {
      stream.destroy()
      lose()
    },
  }
}
