/** Piece after piece of a blob (protocol §9.9), from where it ended: bounded in bytes by what is told, and in time. */

import type { Clock } from '../../objects/clock.ts'
import type { Incoming } from '../../objects/store/blobs/blobs.ts'
import { isComing } from '../../routing/lookup/blob-pieces.ts'
import type { Piece, PieceQuery } from '../../routing/lookup/piece.ts'
import { FmtpError, toFmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'

export interface Filling {
  readonly clock: Clock
  readonly pieceBytes: number
  /** How many bytes the whole has. */
  readonly bytes: number
  ask(range: PieceQuery['range']): Promise<Piece>
  /** Waits before the same is asked once more. */
  pause(ms: number): Promise<void>
  /** Something came. */
  onPiece?: (() => void) | undefined
}

/** @throws {FmtpError} FMTP_BLOB_PIECE, FMTP_BLOB_SIZE, and what came is thrown away; FMTP_TIMEOUT, or why a piece does not come */
export async function fill(incoming: Incoming, filling: Filling): Promise<void> {
  const { clock, pieceBytes, bytes } = filling
  if (bytes > 0 && incoming.bytes >= bytes) return
  const endMs = clock.now() + limits.pullMs
  try {
    do {
      const first = incoming.bytes
      const range = [first, first + pieceBytes - 1] as const
      const piece = await askPatiently(() => filling.ask(range), endMs, filling)
      if (piece.total !== bytes)
        throw new FmtpError('FMTP_BLOB_SIZE', `${piece.total} bytes, ${bytes} are told`)
      await incoming.append(piece.bytes)
      if (piece.bytes.length > 0) filling.onPiece?.()
      if (clock.now() > endMs) throw new FmtpError('FMTP_TIMEOUT', `${incoming.bytes} bytes came`)
    } while (incoming.bytes < bytes)
  } catch (thrown) {
    if (thrown instanceof FmtpError && thrown.concern === 'lie') await incoming.drop()
    throw thrown
  }
}

/** Who is about to have it is asked again, until a time. @throws {FmtpError} what `ask` throws */
export async function askPatiently(
  ask: () => Promise<Piece>,
  endMs: number,
  { pause, clock }: Pick<Filling, 'pause' | 'clock'>,
): Promise<Piece> {
  for (;;) {
    try {
      return await ask()
    } catch (thrown) {
      const error = toFmtpError(thrown)
      if (!isComing(error) || clock.now() > endMs) throw error
      await pause(Math.max(pauseLeastMs, error.retryAfterMs ?? 0))
    }
  }
}

const pauseLeastMs = 100
