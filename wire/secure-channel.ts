/**
 * A Channel over a TLS 1.3 socket (protocol §4.2, §5.3), bound to it by the exporter of RFC 9266. The socket is described
 * by what is used of it; node:tls fits.
 */
import { toBase64url } from './base64url.ts'
import type { Channel } from './channel.ts'
import { type ByteStream, streamChannel } from './stream-channel.ts'

/** The ALPN name of FMTP over TLS. */
export const alpn = 'fmtp/1'

const exporterLabel = 'EXPORTER-Channel-Binding'
const bindingBytes = 32

export interface SecureSocket extends ByteStream {
  readonly remoteAddress?: string | undefined
  exportKeyingMaterial(length: number, label: string, context: Uint8Array): Uint8Array
}

/** Only after the handshake: the exporter throws before it. */
export function secureChannel(socket: SecureSocket): Channel {
  const binding = toBase64url(socket.exportKeyingMaterial(bindingBytes, exporterLabel, new Uint8Array(0)))
  return streamChannel(socket, { remote: socket.remoteAddress ?? '', binding })
}
