/**
 * What `fmtp trace` climbs with: name servers asked anew, connections that are made for it alone, no memory of what failed.
 * Beside a running server with its lookup and its store; without one, with what there is.
 */
import { readFileSync } from 'node:fs'
import type { Clock } from '../../objects/clock.ts'
import type { Store } from '../../objects/store/store.ts'
import { createBreaker } from '../../routing/connect/circuit-breaker.ts'
import { createReach } from '../../routing/connect/connect.ts'
import { createGuard } from '../../routing/connect/dial-guard.ts'
import type { Dial, Peers } from '../../routing/connect/peer.ts'
import { createRoundTrips, hostPort } from '../../routing/connect/round-trips.ts'
import { createRoutes, type Routes } from '../../routing/connect/told-contacts.ts'
import { createDomainKeys } from '../../routing/dns/domain-keys.ts'
import type { Resolver } from '../../routing/dns/resolver.ts'
import type { Step } from '../../routing/ladder.ts'
import { noteFront } from '../../routing/lookup/delegation.ts'
import { createLookup, type LookupPorts } from '../../routing/lookup/lookup.ts'
import { type Sought, soughtId } from '../../routing/lookup/query.ts'
import { onceEach, type Traced, trace } from '../../routing/lookup/trace.ts'
import { noFamily } from '../../routing/parents/hierarchy.ts'
import type { FmtpError } from '../../schemas/failures.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import type { Kinds } from '../../schemas/parse-object.ts'
import { type Domain, domainOf, isAddressName, type ObjectId, ownerOf } from '../../schemas/text/names.ts'
import type { OwnDomains } from '../accounts/own-domains.ts'
import { type Caller, Probe } from '../protocol/probe.ts'
import { dialChannel } from '../transports/dial.ts'

/** What a running server adds: how it looks up, and what keeps it from asking. */
export interface RunningRoutes {
  readonly lookupPorts: LookupPorts
  /** What domains have told of themselves. */
  readonly told: Routes
  readonly open: Peers
  findHeld(domain: Domain): FmtpError | undefined
}

export interface TracerPorts {
  readonly store: Store
  readonly kinds: Kinds
  readonly resolver: Resolver
  readonly clock: Clock
  /** `guard.allow` and `tls.ca` of the config. */
  readonly allow: readonly string[]
  readonly caFile: string
  readonly domains: OwnDomains
  readonly isIsland: boolean
  readonly running?: RunningRoutes | undefined
}

export interface TraceCall {
  readonly sought: Sought
  /** The domain of ours in whose name is called; `undefined`: as a guest. */
  readonly as: Domain | undefined
  onStep(step: Step): void
  readonly signal: AbortSignal
}

export interface TraceResult extends Traced {
  /** The address, domain or id that was asked for. */
  readonly about: string
  /** Missing for a guest. */
  readonly as?: string
  /** True: climbed by the running server. */
  readonly isServer: boolean
  readonly at: string
  readonly ms: number
}

export async function runTrace(ports: TracerPorts, call: TraceCall): Promise<TraceResult> {
  const { domains, running, clock } = ports
  const { sought, onStep, signal } = call
  const own = call.as === undefined ? undefined : domains.get(call.as)
  const caller = own === undefined ? undefined : { domain: own.domain, signer: own.current.signer }
  const startMs = clock.now()
  const probes: Probe[] = []
  const { lookupPorts, reach } = compose(ports, { caller, sought, onStep, signal, probes })
  const tracing = trace(sought, {
    lookup: createLookup(lookupPorts),
    reach,
    open: running?.open ?? { find: () => undefined },
    family: lookupPorts.family ?? noFamily,
    findHeld: domain => running?.findHeld(domain),
    isOwnDomain: domain => domains.has(domain),
    clock,
    as: lookupPorts.as,
    onStep,
  })
  const over = new AbortController()
  try {
    const traced = await Promise.race([tracing, aborted(signal, over.signal)])
    return {
      about: 'id' in sought ? sought.id : sought.address,
      ...(caller === undefined ? {} : { as: caller.domain }),
      isServer: running !== undefined,
      at: new Date(startMs).toISOString(),
      ms: clock.now() - startMs,
      ...traced,
    }
  } finally {
    over.abort()
    for (const probe of probes) probe.close()
  }
}

interface Composition extends Omit<TraceCall, 'as'> {
  readonly caller: Caller | undefined
  readonly probes: Probe[]
}

function compose(ports: TracerPorts, { caller, sought, onStep, signal, probes }: Composition) {
  const { clock, domains, running, store, kinds, isIsland } = ports
  const resolver = askingAnew(ports.resolver)
  const keys = createDomainKeys({
    resolver,
    clock,
    findOwn: domain => domains.get(domain as Domain)?.keys.map(({ key }) => key),
    onEvent: () => undefined,
  })
  const ca = ports.caFile === '' ? [] : [readFileSync(ports.caFile, 'utf8')]
  const dial: Dial = async (target, note, attempt) => {
    const { host, address, port, to } = target
    const over = AbortSignal.any([attempt, signal])
    const channel = await dialChannel(target, { note, signal: over, ca, clock })
    const mayBeFront = !isAddressName(to)
    const probe = await note.step('hello', { as: to, host, address, port }, async () => {
      const where = hostPort(host, port)
      const asked = { caller, to, host: where, mayBeFront, keys, clock, signal: over }
      const called = await Probe.call(channel, asked)
      probes.push(called)
      return called
    })
    if (mayBeFront && probe.name !== to) await noteFront(probe, to as Domain, note, { keys, kinds, clock })
    return probe
  }
  const reach = onceEach(
    createReach({
      resolver,
      keys,
      guard: createGuard({ allow: ports.allow, clock }),
      dial,
      peers: { find: () => undefined },
      breaker: createBreaker(clock),
      roundTrips: createRoundTrips(),
      routes: running?.told ?? createRoutes(clock),
      clock,
      random: Math.random,
      isIsland,
    }),
  )
  const lookupPorts: LookupPorts = {
    ...(running?.lookupPorts ?? aloneLookup({ store, kinds, clock, domains })),
    // Parents and children are asked over the connections that there are; a parent that is slow does not rest for it.
    family: { ...(running?.lookupPorts.family ?? noFamily), rest: () => undefined },
    keys,
    reach,
    // A guest calls in no name; this one only tells calls apart.
    as: caller?.domain ?? domainOf(ownerOf(soughtId(sought))),
    onStep: (_about, step) => onStep(step),
  }
  return { lookupPorts, reach }
}

/** What a lookup needs of a server, where none runs: it keeps nothing. */
function aloneLookup(
  ports: Pick<TracerPorts, 'store' | 'kinds' | 'clock' | 'domains'>,
): Omit<LookupPorts, 'keys' | 'reach' | 'as' | 'onStep'> {
  const { store, kinds, clock, domains } = ports
  return {
    ...{ store, kinds, clock },
    findOwn: (id: ObjectId): FmtpObject | undefined => store.findObject(id),
    isOwnDomain: domain => domains.has(domain),
    hasRoom: () => false,
    onContacts: () => undefined,
    onUse: () => undefined,
    onKept: () => undefined,
  }
}

/** What name servers say now, not what they said before. */
function askingAnew(resolver: Resolver): Resolver {
  return {
    txt: (name, options) => resolver.txt(name, { ...options, fresh: true }),
    mx: (name, options) => resolver.mx(name, { ...options, fresh: true }),
    srv: (name, options) => resolver.srv(name, { ...options, fresh: true }),
    addresses: (name, options) => resolver.addresses(name, { ...options, fresh: true }),
  }
}

/** Rejects with the reason when the signal aborts; `over`: when nobody wants to know any more. */
function aborted(signal: AbortSignal, over: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const abort = (): void => reject(signal.reason)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true, signal: over })
  })
}
