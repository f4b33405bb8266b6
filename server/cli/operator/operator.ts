/** What commands of an operator share: a bar while they work, Ctrl-C that tidies up, one line or JSON at the end. */

import { FmtpError } from '../../../schemas/failures.ts'
import type { ActionPorts } from '../../operator/action.ts'
import { createProgressBar } from './progress.ts'

/** Runs the work of a command and tells its outcome. Resolves with the exit status: 0 where the result is good. */
export async function operate<R extends object>(
  name: string,
  isJson: boolean,
  work: (ports: ActionPorts) => Promise<R>,
  tell: (result: R) => string,
  isGood: (result: R) => boolean = () => true,
): Promise<number> {
  const controller = new AbortController()
  const stop = (): void =>
    controller.abort(new FmtpError('FMTP_DISCONNECTED', 'stopped before it was done; nothing is left of it'))
  // Once: who asks a second time does not want to wait.
  process.once('SIGINT', stop).once('SIGTERM', stop)
  const bar = createProgressBar(process.stderr)
  try {
    const result = await work({ onProgress: bar.show, signal: controller.signal })
    bar.end()
    process.stdout.write(`${isJson ? JSON.stringify(result) : tell(result)}\n`)
    return isGood(result) ? 0 : 1
  } catch (thrown) {
    bar.end()
    if (!(thrown instanceof FmtpError)) throw thrown
    // The operator gets the detail first: texts of failures are made for peers.
    const detail = thrown.message.replace(/^FMTP_[A-Z_]+(: |$)/, '')
    const told = detail === '' ? thrown.text : detail.replaceAll('\n', '\n  ')
    process.stderr.write(`fmtp ${name}: ${told}\n  (${thrown.code})\n`)
    return 1
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
  }
}
