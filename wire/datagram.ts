/**
 * A request in one datagram, and its answer in another (protocol §4.8). A question is padded, so that whoever asks in a false
 * name can not make an answer that is larger than what it sent.
 */
import type { AnswerFrame, Frame, RequestFrame } from '../schemas/frame.ts'
import { limits } from '../schemas/limits.ts'
import { decodeFrame, encodeFrame } from './codec.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A request of `limits.datagramBytes`, or more where it needs that itself. */
export function encodeQuestion(request: RequestFrame): Uint8Array {
  const bare = encoder.encode(encodeFrame({ ...request, pad: '' })).length
  return encoder.encode(
    encodeFrame({ ...request, pad: '0'.repeat(Math.max(0, limits.datagramBytes - bare)) }),
  )
}

export function encodeAnswer(answer: AnswerFrame): Uint8Array {
  return encoder.encode(encodeFrame(answer))
}

/** The frame of a datagram; `undefined` for what is none. */
export function findFrame(datagram: Uint8Array): Frame | undefined {
  try {
    return decodeFrame(decoder.decode(datagram))
  } catch {
    return undefined
  }
}
