/** Arguments of actions, as they come from outside. */
import { FmtpError } from '../../schemas/failures.ts'

export type Args = Readonly<Record<string, unknown>>

/** @throws {FmtpError} FMTP_BAD_FRAME where it is no text */
export function findText(args: Args, name: string): string | undefined {
  const value = args[name]
  if (value !== undefined && typeof value !== 'string')
    throw new FmtpError('FMTP_BAD_FRAME', `${name} must be text`)
  return value
}

/** @throws {FmtpError} FMTP_BAD_FRAME where it is no text, or none at all */
export function requireText(args: Args, name: string): string {
  const text = findText(args, name)
  if (text === undefined || text === '') throw new FmtpError('FMTP_BAD_FRAME', `${name} is missing`)
  return text
}
