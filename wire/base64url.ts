/** Base64url without padding (RFC 4648 §5). Node's Buffer where there is one, else the browser's btoa and atob. */

interface NodeBuffer {
  from(
    data: ArrayBuffer | Uint8Array | string,
    encodingOrOffset?: string | number,
    length?: number,
  ): Uint8Array & {
    toString(encoding: string): string
  }
}
interface Globals {
  Buffer?: NodeBuffer
  btoa?(text: string): string
  atob?(text: string): string
}
const globals = globalThis as unknown as Globals
const NodeBuffer = globals.Buffer

export function toBase64url(bytes: Uint8Array): string {
  if (NodeBuffer !== undefined) {
    return NodeBuffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength).toString(
      'base64url',
    )
  }
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return (globals.btoa?.(text) ?? '').replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

/** Bytes of a text that a schema already found to be base64url; bits beyond the last whole byte are dropped. */
export function fromBase64url(text: string): Uint8Array {
  if (NodeBuffer !== undefined) return NodeBuffer.from(text, 'base64url')
  const binary = globals.atob?.(text.replaceAll('-', '+').replaceAll('_', '/')) ?? ''
  return Uint8Array.from(binary, char => char.charCodeAt(0))
}
