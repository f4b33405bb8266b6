/**
 * What an operator's commands can have done on a data folder, in one table. A running server does it when its control
 * socket asks (`socket.ts`); where none runs, the command does the very same in its own process (`client.ts`).
 */
import { FmtpError } from '../../schemas/failures.ts'
import { backUp } from '../backup/backup.ts'
import type { Core } from '../core.ts'
import { verifyStore } from '../verify/verify.ts'
import { keyActions } from './key-actions.ts'

/** How far an action is. */
export interface Progress {
  /** What is counted, in words for a person: `records`, `files`. */
  readonly what: string
  readonly done: number
  /** Missing where it is not known. */
  readonly total?: number
}

export interface ActionPorts {
  onProgress(progress: Progress): void
  /** Aborted when nobody waits for the result any more; the action then leaves nothing behind and throws the reason. */
  readonly signal: AbortSignal
}

/** Arguments come from outside: the action checks them. The result and the arguments are plain JSON. */
export type ControlAction = (args: Readonly<Record<string, unknown>>, ports: ActionPorts) => Promise<object>

export type ControlActions = Readonly<Record<string, ControlAction>>

/** The table. An action of its own file gets the parts of the core that it uses. */
export function createActions(core: Core): ControlActions {
  return {
    ...keyActions(core),
    backup: (args, ports) => backUp(core, args, ports),
    verify: (_, ports) => verifyStore(core, ports),
    status: async () => ({ pid: process.pid, data: core.config.data, domains: [...core.domains.keys()] }),
  }
}

/** @throws {FmtpError} FMTP_NOT_OFFERED. Nothing but a row of the table is ever found, whatever the name is. */
export function requireAction(actions: ControlActions, name: string): ControlAction {
  const action = Object.hasOwn(actions, name) ? actions[name] : undefined
  if (action === undefined)
    throw new FmtpError('FMTP_NOT_OFFERED', `there is no action ${JSON.stringify(name)}`)
  return action
}
