/** A process that has hosts (`hosts.ts`) and a server on one of them, tells the parent which networks, and stays until it is killed. */
import { Hosts } from './hosts.ts'

const hosts = await Hosts.start()
await hosts.serve('poe.net')
process.send?.(hosts.ids)
