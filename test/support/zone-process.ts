/**
 * The name server of `hosts.ts`, as a process: the zone of `server/demo/name-server.ts` twice, as the world sees it and as those behind
 * the wall do: `zone-process.js OUTSIDE-ADDRESS INSIDE-ADDRESS LATE-MS`. Records and faults come from the parent.
 */
import { serveZone, type ZoneFault } from '../../server/demo/name-server.ts'
import type { ZoneType } from '../../server/demo/zone-text.ts'

export type View = 'outside' | 'inside'

/** What it is told. Each is answered with an empty text. */
export type ZoneOrder =
  | { readonly view: View; readonly set: readonly [name: string, type: ZoneType, values: readonly string[]] }
  | { readonly fail: readonly [name: string, type: ZoneType, fault?: ZoneFault] }

const [outside = '', inside = '', lateMs] = process.argv.slice(2)
const options = { port: 53, records: [], lateMs: Number(lateMs) }
const zones = {
  outside: await serveZone({ ...options, address: outside }),
  inside: await serveZone({ ...options, address: inside }),
}

process.on('message', (order: ZoneOrder) => {
  if ('set' in order) zones[order.view].set(...order.set)
  else for (const zone of Object.values(zones)) zone.fail(order.fail[0], order.fail[1], order.fail[2])
  process.send?.('')
})
// The parent is gone: nobody else would end this process.
process.on('disconnect', () => process.exit(0))
process.send?.('')
