/** Values of index rows, which are JSON objects or arrays. The disk may give others back than were written. */
import { FmtpError } from '../../schemas/failures.ts'

/** @throws {FmtpError} FMTP_STORE where it is damaged */
export function parseRow<T extends object>(text: string): T {
  const row = findRow<T>(text)
  if (row === undefined) throw new FmtpError('FMTP_STORE', 'an index row is damaged; look with: fmtp verify')
  return row
}

/** `undefined`: it is damaged. */
export function findRow<T extends object>(text: string): T | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as T) : undefined
  } catch {
    return undefined
  }
}
