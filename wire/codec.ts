/** Bytes to lines, lines to frames, and back, within limits (protocol §4.1). */
import { parseJson } from '../schemas/canonical.ts'
import { FmtpError } from '../schemas/failures.ts'
import type { Frame } from '../schemas/frame.ts'
import { limits } from '../schemas/limits.ts'
import { parseFrame } from '../schemas/parse.ts'

// The frame itself and its members `object`, `list` or `results` stand above an object's own levels.
const frameDepth = limits.objectDepth + 1

/**
 * One frame from its text.
 * @throws {FmtpError} the codes of protocol §3 and §4, FMTP_BAD_FRAME, FMTP_UNKNOWN_VERB
 */
export function decodeFrame(text: string): Frame {
  const value = parseJson(text, frameDepth)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new FmtpError('FMTP_NOT_JSON', 'no object')
  return parseFrame(value)
}

export function encodeFrame(frame: Frame): string {
  return JSON.stringify(frame)
}

const newline = 10

/** Cuts a stream of bytes into lines of UTF-8. Holds at most one unfinished line. */
export class LineReader {
  #limitBytes: number
  #pieces: Uint8Array[] = []
  #pieceBytes = 0
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  setLimit(bytes: number): void {
    this.#limitBytes = bytes
  }

  /**
   * The lines that end in this chunk. What went wrong comes beside the lines before it, which still count.
   */
  push(chunk: Uint8Array): { readonly lines: string[]; readonly error?: FmtpError } {
    const lines: string[] = []
    let start = 0
    for (;;) {
      const end = chunk.indexOf(newline, start)
      const length = (end === -1 ? chunk.length : end) - start
      if (this.#pieceBytes + length > this.#limitBytes) {
        return { lines, error: new FmtpError('FMTP_FRAME_TOO_LARGE', `over ${this.#limitBytes} bytes`) }
      }
      if (end === -1) {
        if (length > 0) {
          // A copy: the socket may use the chunk's memory again.
          this.#pieces.push(chunk.slice(start))
          this.#pieceBytes += length
        }
        return { lines }
      }
      try {
        const line = this.#decoder.decode(this.#take(chunk.subarray(start, end)))
        if (line !== '' && line !== '\r') lines.push(line)
      } catch (cause) {
        return { lines, error: new FmtpError('FMTP_NOT_JSON', 'not UTF-8', { cause }) }
      }
      start = end + 1
    }
  }

  #take(last: Uint8Array): Uint8Array {
    if (this.#pieces.length === 0) return last
    const line = new Uint8Array(this.#pieceBytes + last.length)
    let at = 0
    for (const piece of this.#pieces) {
      line.set(piece, at)
      at += piece.length
    }
    line.set(last, at)
    this.#pieces = []
    this.#pieceBytes = 0
    return line
  }
}
