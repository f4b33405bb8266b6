/**
 * Passes on to a logged-in client what arrives in its box (protocol §9.6), as describes that it answers. Only sooner: what
 * a client misses it finds in its box from the cursor that came with each object.
 */
import type { Clock } from '../../objects/clock.ts'
import type { Hints } from '../../objects/store/hints.ts'
import { listOf } from '../../objects/store/layout.ts'
import type { Store } from '../../objects/store/store.ts'
import { toFmtpError } from '../../schemas/failures.ts'
import type { Address, ObjectId } from '../../schemas/text/names.ts'
import type { Log } from '../core/log.ts'
import { follow } from '../exchange/reading/follow.ts'
import type { Reveal } from '../exchange/reveal.ts'
import type { Session } from './session.ts'

export interface PassingPorts {
  readonly store: Store
  readonly hints: Hints
  readonly clock: Clock
  readonly followMs: number
  readonly reveal: Reveal
  readonly log: Log
}

const page = 100

/** Runs until the session ends. */
export async function passOn(session: Session, address: Address, ports: PassingPorts): Promise<void> {
  const { store } = ports
  const list = listOf.box(address)
  await follow(list, store.database.head(list).number, ports, session.signal, async after => {
    await session.drained()
    const { entries, last, isComplete } = await store.readList(list, after, page)
    if (session.isFollowingBox) return { last, isComplete }
    const passing = entries.map(async entry => {
      // What the client has just made is most of what comes while it sends: it is not even read.
      if (session.hasPublished(entry.id, entry.version)) return
      const object = ports.reveal.findFor(entry.id as ObjectId, [address])
      if (object === undefined || object.version !== entry.version) return
      const record = { id: object.id, kind: object.kind, to: address, host: session.host }
      const startMs = ports.clock.now()
      try {
        const by = store.findBoxed(address, object.id)?.by
        const answer = await session.describe({
          object,
          for: [address],
          ...(by === undefined ? {} : { by }),
          cursor: `${store.database.epoch}.${entry.number}`,
        })
        ports.log.debug({ ...record, outcome: answer.outcome, ms: ports.clock.now() - startMs }, 'passed')
      } catch (thrown) {
        ports.log.debug({ ...record, outcome: toFmtpError(thrown).code }, 'passed')
      }
    })
    await Promise.all(passing)
    return { last, isComplete }
  })
}
