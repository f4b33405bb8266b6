/**
 * The calls under way (protocol §10.3), so that all end with the server: a connection that is still being made is in no
 * list of connections, and would be left open by whoever closes those.
 */
import { FmtpError } from '../../schemas/failures.ts'

export class Calls {
  readonly #underWay = new Set<AbortController>()
  #isClosed = false

  /** Runs `call` with a signal that aborts with `signal`, or when all calls end. @throws {FmtpError} what `call` throws */
  async run<T>(signal: AbortSignal, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new FmtpError('FMTP_SHUTTING_DOWN', 'nothing is dialled any more')
    if (signal.aborted) throw new FmtpError('FMTP_DISCONNECTED', 'the call was ended before it began')
    const over = new AbortController()
    const end = (): void => over.abort()
    signal.addEventListener('abort', end, { once: true })
    this.#underWay.add(over)
    try {
      return await call(over.signal)
    } finally {
      this.#underWay.delete(over)
      signal.removeEventListener('abort', end)
    }
  }

  /** Ends what is under way, and lets nothing begin. */
  close(): void {
    this.#isClosed = true
    for (const call of this.#underWay) call.abort()
  }
}
