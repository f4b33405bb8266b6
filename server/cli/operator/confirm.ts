/** Asks a person on a terminal before something that can not be undone. */
import { once } from 'node:events'
import { createInterface } from 'node:readline/promises'
import { FmtpError } from '../../../schemas/failures.ts'

/**
 * True where the person types the address. `what` is what will happen.
 * @throws {FmtpError} FMTP_NOT_ALLOWED where nobody sits at a terminal
 */
export async function confirmAddress(address: string, what: string): Promise<boolean> {
  if (process.stdin.isTTY !== true)
    throw new FmtpError('FMTP_NOT_ALLOWED', 'nobody is here to be asked: say --yes to mean it')
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    // Who ends the input says no.
    const ended = once(lines, 'close').then(() => '')
    const typed = await Promise.race([lines.question(`${what}\nType ${address} to go on: `), ended])
    if (typed.trim() === address) return true
    process.stderr.write('nothing was done\n')
    return false
  } finally {
    lines.close()
  }
}
