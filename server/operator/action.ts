/** One action of an operator: what it is given, what it tells, and how it is found in a table of them. */
import { FmtpError } from '../../schemas/failures.ts'

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

/** @throws {FmtpError} FMTP_NOT_OFFERED. Nothing but a row of the table is ever found, whatever the name is. */
export function requireAction(actions: ControlActions, name: string): ControlAction {
  const action = Object.hasOwn(actions, name) ? actions[name] : undefined
  if (action === undefined)
    throw new FmtpError('FMTP_NOT_OFFERED', `there is no action ${JSON.stringify(name)}`)
  return action
}
