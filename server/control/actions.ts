/**
 * What an operator's commands can have done on a data folder, in one table. A running server does it when its control
 * socket asks (`socket.ts`); where none runs, the command does the very same in its own process (`client.ts`).
 */

import { FmtpError } from '../../schemas/failures.ts'
import { backUp } from '../backup/backup.ts'
import type { Core } from '../core/core.ts'
import type { LimitReport } from '../limits/refusals.ts'
import type { ControlActions } from '../operator/action.ts'
import { healthActions, type RunningHealth } from '../operator/health.ts'
import { keyActions } from '../operator/keys.ts'
import { queueActions, type WakeDomain } from '../operator/queue.ts'
import { traceActions } from '../operator/trace.ts'
import type { RunningRoutes } from '../operator/tracer.ts'
import { type UsersPorts, userActions } from '../operator/users.ts'
import { verifyStore } from '../verify/verify.ts'

/** What a running server counts, since it started. */
export interface StatsResult {
  /** ISO time. */
  readonly since: string
  readonly limits: readonly LimitReport[]
  /** Domains that are not dialled for a while (protocol §10.3). */
  readonly heldBack: readonly { readonly domain: string; readonly until: string }[]
}

/** What only a running server has: what it counts, a courier, and who erases accounts. */
export interface RunningParts extends UsersPorts {
  stats(): StatsResult
  readonly wake: WakeDomain
  readonly routes: RunningRoutes
  readonly health: RunningHealth
}

/** The table. An action of its own file gets the parts of the core that it uses. */
export function createActions(core: Core, running?: RunningParts): ControlActions {
  return {
    ...healthActions(core, running?.health),
    ...keyActions(core),
    ...queueActions(core, running?.wake),
    ...traceActions(core, running?.routes),
    ...userActions(core, running),
    backup: (args, ports) => backUp(core, args, ports),
    verify: (_, ports) => verifyStore(core, ports),
    stats: async () => {
      if (running === undefined)
        throw new FmtpError('FMTP_NOT_FOUND', 'no server runs on this data folder, and only that one counts')
      return running.stats()
    },
    status: async () => ({ pid: process.pid, data: core.config.data, domains: [...core.domains.keys()] }),
  }
}
