/** What checks are made with. */
import type { Clock } from '../../objects/clock.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { HealthResult } from '../operator/health.ts'

/** Asks the running server; `undefined`: none listens. @throws {FmtpError} of the action */
export type AskServer = (
  action: string,
  args: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
) => Promise<object | undefined>

export interface Parts {
  readonly config: LoadedConfig
  readonly clock: Clock
  /** `undefined`: no server runs, or it does not answer. */
  readonly health: HealthResult | undefined
  readonly ask: AskServer
}
