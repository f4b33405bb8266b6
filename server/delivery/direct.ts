/**
 * The first rungs of reaching a recipient (protocol §10.4): the devices that its object recommends. Delivery to a device
 * is only sooner; nothing waits for one longer than a moment.
 */
import type { Clock } from '../../objects/clock.ts'
import type { Reach } from '../../routing/connect/connect.ts'
import { recommendedRungs } from '../../routing/connect/contact-rungs.ts'
import type { Peer, Peers } from '../../routing/connect/peer.ts'
import { climb, type Step } from '../../routing/ladder.ts'
import type { Lookup } from '../../routing/lookup/lookup.ts'
import type { Contact } from '../../schemas/kinds/contact.ts'
import type { User } from '../../schemas/kinds/user.ts'
import { limits } from '../../schemas/limits.ts'
import type { Address, Domain } from '../../schemas/text/names.ts'

export interface DirectPorts {
  readonly lookup: Lookup
  readonly peers: Peers
  readonly reach: Reach
  readonly clock: Clock
  onStep(about: Address, step: Step): void
}

/**
 * Calls `onPeer` with each device of a recipient that could be reached, whenever that is. Resolves when all were tried, or
 * after a moment: nothing waits longer for what is only sooner.
 */
export type ReachDirect = (
  recipients: readonly Address[],
  as: Domain,
  onPeer: (peer: Peer) => void,
) => Promise<void>

const recipientsMost = 100
/** How long it is remembered that somebody has no contacts: almost nobody has, and messages come in bursts. */
const rememberedMs = 5_000
const rememberedMost = 10_000

export function createDirect(ports: DirectPorts): ReachDirect {
  /** Unix ms at which a recipient was found to have no contacts, in this order. */
  const without = new Map<Address, number>()
  /** Devices that are being called, by who calls and whom. */
  const calls = new Map<string, Promise<Peer | undefined>>()

  /** A device may be connected before who called it knows: what they bring goes first, the author before the message. */
  function reachInTurn(recipient: Address, as: Domain): Promise<Peer | undefined> {
    const key = `${as} ${recipient}`
    const running = calls.get(key)
    if (running !== undefined) return running
    const begun = reachOne(recipient, as)
    calls.set(key, begun)
    const end = (): unknown => calls.delete(key)
    // Who was reached is not found otherwise before all who wait here have gone on.
    begun.then(peer => (peer === undefined ? end() : setImmediate(end)), end)
    return begun
  }

  async function reachOne(recipient: Address, as: Domain): Promise<Peer | undefined> {
    const live = ports.peers.find(recipient, as)
    if (live !== undefined) return live
    const found = await ports.lookup({ address: recipient })
    const contacts = found.outcome === 'found' ? ((found.object as User).contacts ?? []) : []
    if (contacts.length > 0) return climbContacts(contacts, recipient, as)
    remember(recipient)
    return undefined
  }

  function remember(recipient: Address): void {
    without.delete(recipient)
    if (without.size >= rememberedMost) without.delete(without.keys().next().value ?? recipient)
    without.set(recipient, ports.clock.now())
  }

  /** True where it is known that there is no device to call, so that most messages wait for nothing here. */
  function isQuiet(recipients: readonly Address[], as: Domain): boolean {
    const nowMs = ports.clock.now()
    for (const recipient of recipients) {
      const sinceMs = nowMs - (without.get(recipient) ?? 0)
      // Below zero the clock was set back.
      if (sinceMs < 0 || sinceMs >= rememberedMs) return false
      if (ports.peers.find(recipient, as) !== undefined) return false
    }
    return true
  }

  async function climbContacts(
    contacts: readonly Contact[],
    recipient: Address,
    as: Domain,
  ): Promise<Peer | undefined> {
    const callable = contacts.filter(({ protocol }) => protocol !== 'udp')
    const { found } = await climb(recommendedRungs(callable, { owner: recipient, as }, ports.reach), {
      clock: ports.clock,
      onStep: step => ports.onStep(recipient, step),
    })
    // The recipient's domain may answer there too: that is the next rung, and not a device.
    return found?.name === recipient ? found : undefined
  }

  return async (recipients, as, onPeer) => {
    if (isQuiet(recipients, as)) return
    const attempts = recipients.slice(0, recipientsMost).map(async recipient => {
      const peer = await reachInTurn(recipient, as)
      if (peer !== undefined) onPeer(peer)
    })
    const over = new AbortController()
    const tried = Promise.allSettled(attempts).then(() => over.abort())
    await Promise.race([tried, ports.clock.sleep(limits.nextHostMs, over.signal)])
  }
}
