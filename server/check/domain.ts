/** What is checked of each domain that the config names: keys, records, hosts, UDP, and a round trip over all of it. */

import { createGuard } from '../../routing/connect/dial-guard.ts'
import { createResolver, systemServers } from '../../routing/dns/client.ts'
import { createDomainKeys } from '../../routing/dns/domain-keys.ts'
import type { Resolver } from '../../routing/dns/resolver.ts'
import { findParentRule } from '../../schemas/text/formats.ts'
import { type Domain, parseDomain } from '../../schemas/text/names.ts'
import { loadKinds } from '../config/kinds.ts'
import type { WitnessResult } from '../operator/health.ts'
import { type Check, skip } from './finding.ts'
import { checkHosts } from './hosts.ts'
import { checkKeyRecords } from './key-records.ts'
import { type FileKey, readKeyFiles } from './own-keys.ts'
import type { Parts } from './parts.ts'
import { checkLocalTrip, checkRoundTrip, checkUdp } from './round-trip.ts'

const dnsMs = 15_000
const callMs = 30_000

export interface DomainChecks extends AsyncDisposable {
  readonly checks: readonly Check[]
}

/** The checks of all domains; to be disposed of when they were made. */
export function domainChecks(parts: Parts): DomainChecks {
  const { config, clock, health, ask } = parts
  const { servers } = config.dns
  const names = config.domain.map(({ name }) => parseDomain(name))
  const isIsland = names.every(isLocal)
  // Made when it is asked for: an island has no name server.
  let made: (Resolver & AsyncDisposable) | undefined
  const resolver = (): Resolver => {
    const usual = isIsland ? ['127.0.0.1'] : systemServers()
    made ??= createResolver({ servers: servers.length > 0 ? servers : usual })
    return made
  }
  const keysOf = (domain: Domain): readonly FileKey[] => readKeyFiles(config.data, domain)
  const ports = (signal: AbortSignal, isByFiles: boolean) => ({
    resolver: resolver(),
    guard: createGuard({ allow: config.guard.allow, clock }),
    keys: createDomainKeys({
      resolver: resolver(),
      clock,
      findOwn: name => (isByFiles ? findOwn(name) : undefined),
      onEvent: () => undefined,
    }),
    kinds: loadKinds(config.kinds),
    parents: config.parents.flatMap(text => (findParentRule(text)?.parent ?? []) as Domain),
    ...{ signal, clock, health },
  })

  /** Whether a host has the key of the domain has nothing to do with what DNS shows. */
  function findOwn(name: string) {
    if (!names.includes(name as Domain)) return undefined
    return keysOf(name as Domain).flatMap(({ state, key }) => (state === 'retired' ? [] : [key]))
  }

  async function witness(binding: string, signal: AbortSignal): Promise<boolean | undefined> {
    if (health === undefined) return undefined
    return ((await ask('health witness', { binding }, signal)) as WitnessResult | undefined)?.isKnown
  }

  function checksOf(domain: Domain): Check[] {
    const check = (name: string, limitMs: number, run: Check['run']): Check => {
      return { check: name, about: domain, limitMs, run }
    }
    if (isLocal(domain))
      return [
        check('records', dnsMs, async () => [skip('an island has neither DNS nor others')]),
        check('round-trip', callMs, signal => checkLocalTrip(domain, ports(signal, true))),
      ]
    return [
      check('key', dnsMs, signal =>
        checkKeyRecords(domain, keysOf(domain), { resolver: resolver(), nowMs: clock.now(), signal }),
      ),
      check('records', callMs, signal =>
        checkHosts(domain, { ...ports(signal, true), witness: binding => witness(binding, signal) }),
      ),
      check('udp', dnsMs, signal => checkUdp(domain, ports(signal, true))),
      check('round-trip', callMs, signal => checkRoundTrip(domain, ports(signal, false))),
    ]
  }

  return {
    checks: names.flatMap(checksOf),
    async [Symbol.asyncDispose]() {
      await made?.[Symbol.asyncDispose]()
    },
  }
}

function isLocal(domain: Domain): boolean {
  return domain === 'localhost'
}
