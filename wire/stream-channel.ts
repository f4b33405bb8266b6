/**
 * A Channel over a stream of bytes, one frame a line (protocol §4.1). The stream is described by what is used of it,
 * so that this file needs no Node: a TLS socket fits.
 */
import { FmtpError } from '../schemas/failures.ts'
import { limits } from '../schemas/limits.ts'
import { type Channel, type ChannelHandlers, Inbox } from './channel.ts'
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

export interface StreamChannelOptions {
  readonly remote: string
  readonly binding: string
}

export function streamChannel(stream: ByteStream, options: StreamChannelOptions): Channel {
  const reader = new LineReader(limits.frameBytesBeforeHello)
  const inbox = new Inbox()
  let handlers: ChannelHandlers | undefined
  let isClosed = false
  let outgoing: string[] = []
  let outgoingChars = 0

  function finish(error?: FmtpError): void {
    if (isClosed) return
    isClosed = true
    inbox.close()
    handlers?.onClose(error)
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
    open(given) {
      handlers = given
      stream.on('data', chunk => {
        if (isClosed) return
        const { lines, error } = reader.push(chunk)
        if (lines.length > 0) inbox.push(lines)
        if (error !== undefined) finish(error)
      })
      stream.on('error', cause => finish(new FmtpError('FMTP_DISCONNECTED', cause.message, { cause })))
      stream.on('end', () => {
        stream.end()
        finish()
      })
      stream.on('close', () => finish())
      inbox.open(given.onText)
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
      flush()
      stream.end()
      finish()
    },
    destroy() {
      stream.destroy()
      finish()
    },
  }
}
