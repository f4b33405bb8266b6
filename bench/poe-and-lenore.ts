/** Two domains, each with a server of its own: edgar and others write from one, and lost reads at the other. */
import { type Address, parseAddress } from '../schemas/text/names.ts'
import { type End, Federation } from './federation.ts'

export const edgar = parseAddress('edgar@poe.net')
export const lost = parseAddress('lost@lenore.org')
export const sendersMost = 256

/** Users of poe.net, edgar the first. */
export const senders: readonly Address[] = Array.from({ length: sendersMost }, (_, at) =>
  at === 0 ? edgar : parseAddress(`edgar${at}@poe.net`),
)

/** With so many users at poe.net. */
export function startPoeAndLenore(users: number, nodeArgs: readonly string[] = []): Promise<Federation> {
  return Federation.start({
    hosts: [
      { name: 'poe', address: '127.77.20.2', domains: ['poe.net'], users: senders.slice(0, users) },
      { name: 'lenore', address: '127.77.20.3', domains: ['lenore.org'], users: [lost] },
    ],
    nodeArgs,
  })
}

/** Both ends as they run now. */
export function endsOf(federation: Federation): { readonly poe: End; readonly lenore: End } {
  return { poe: federation.end('poe'), lenore: federation.end('lenore') }
}
