/**
 * What an operator's commands can have done on a data folder, in one table. A running server does it when its control
 * socket asks (`socket.ts`); where none runs, the command does the very same in its own process (`client.ts`).
 */
import { backUp } from '../backup/backup.ts'
import type { Core } from '../core.ts'
import { verifyStore } from '../verify/verify.ts'
import type { ControlActions } from './action.ts'
import { keyActions } from './key-actions.ts'
import { queueActions, type WakeDomain } from './queue-actions.ts'
import { type UsersPorts, userActions } from './user-actions.ts'

/** What a running server can do besides; missing where none runs. */
export interface ServerPorts extends UsersPorts {
  readonly wake?: WakeDomain
}

/** The table. An action of its own file gets the parts of the core that it uses. */
export function createActions(core: Core, ports: ServerPorts = {}): ControlActions {
  return {
    ...keyActions(core),
    ...queueActions(core, ports.wake),
    ...userActions(core, ports),
    backup: (args, actionPorts) => backUp(core, args, actionPorts),
    verify: (_, actionPorts) => verifyStore(core, actionPorts),
    status: async () => ({ pid: process.pid, data: core.config.data, domains: [...core.domains.keys()] }),
  }
}
