/** The way to a name, behind `fmtp trace`: climbed by the server where one runs, else with its store and its keys. */

import type { Sought } from '../../routing/lookup/query.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { type Domain, parseDomain, parseName, parseObjectId } from '../../schemas/text/names.ts'
import { loadKinds } from '../config/kinds.ts'
import type { Core } from '../core/core.ts'
import type { ControlActions } from './action.ts'
import { type Args, findText } from './args.ts'
import { type RunningRoutes, runTrace } from './tracer.ts'

export function traceActions(core: Core, running?: RunningRoutes): ControlActions {
  const { config, store, resolver, clock, domains } = core
  return {
    trace: async (args, { onProgress, signal }) => {
      let done = 0
      return runTrace(
        {
          ...{ store, resolver, clock, domains, running },
          kinds: loadKinds(config.kinds),
          allow: config.guard.allow,
          caFile: config.tls.ca,
          isIsland: [...domains.keys()].every(domain => domain === 'localhost'),
        },
        {
          sought: soughtOf(args),
          as: requireOwn(args, [...domains.keys()]),
          onStep: () => onProgress({ what: 'steps', done: ++done }),
          signal,
        },
      )
    },
  }
}

/** @throws {FmtpError} FMTP_BAD_NAME */
export function soughtOf(args: Args): Sought {
  const id = findText(args, 'id')
  return id === undefined ? { address: parseName(findText(args, 'address')) } : { id: parseObjectId(id) }
}

function requireOwn(args: Args, own: readonly Domain[]): Domain | undefined {
  const text = findText(args, 'as')
  if (text === undefined) return own[0]
  const as = parseDomain(text)
  if (!own.includes(as))
    throw new FmtpError('FMTP_BAD_NAME', `${as} is no domain of this server; it has ${own.join(', ')}`)
  return as
}
