/** What the running server says of itself: version, parents and children, what waits, what is damaged, whose keys changed. */

import { hostPort } from '../../routing/connect/round-trips.ts'
import { findCanonicalIp } from '../../routing/ip.ts'
import { limits } from '../../schemas/limits.ts'
import { findEndpoint } from '../../schemas/text/formats.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { HealthResult, ParentHealth, StoreHealthResult } from '../operator/health.ts'
import { fail, ok, skip, type Verdict, warn } from './finding.ts'

export type Software = HealthResult['software']

export function judgeServer(health: HealthResult, own: Software, config: LoadedConfig): readonly Verdict[] {
  const { software, pid } = health
  const name = `${software.name} ${software.version}`
  if (software.name !== own.name || software.version !== own.version)
    return [
      warn(
        `it is ${name}, this command ${own.name} ${own.version}`,
        'Start the server again, so that it runs what is installed.',
      ),
    ]
  const other = differenceOf(health, config)
  if (other !== undefined)
    return [
      warn(
        `it runs with another config than ${config.file} says now: ${other}`,
        'Start the server again, so that it reads the config.',
      ),
    ]
  return [ok(`${name} runs and is ready, process ${pid}`)]
}

function isSameIp(left: string, right: string): boolean {
  return findCanonicalIp(left) === findCanonicalIp(right)
}

/** What of the config a running server shows by itself. */
function differenceOf(
  { servers, listeners }: HealthResult,
  { domain, listen }: LoadedConfig,
): string | undefined {
  const [named, served] = [domain, servers].map(each => each.length)
  const isServed = domain.every(({ name }) => servers.some(each => each.domain === name))
  if (!isServed || named !== served) return `it serves ${servers.map(each => each.domain).join(', ')}`
  for (const sort of ['tcp', 'udp', 'http'] as const) {
    const endpoints = listen[sort].flatMap(text => findEndpoint(text) ?? [])
    const isSame =
      endpoints.length === listeners[sort].length &&
      endpoints.every(({ address, port }) =>
        listeners[sort].some(each => isSameIp(each.address, address) && (port === 0 || each.port === port)),
      )
    const actual = listeners[sort].map(({ address, port }) => hostPort(address, port)).join(', ')
    if (!isSame) return `it listens for ${sort} ${actual === '' ? 'nowhere' : `at ${actual}`}`
  }
  return undefined
}

/** Nothing here knows what time it is; only that the clock stands before what was made by it can be seen. */
export function judgeClock({ nowMs, servers }: HealthResult): readonly Verdict[] {
  const ahead = servers.filter(({ version }) => version > nowMs + limits.clockSkewMs)
  if (ahead.length === 0)
    return [skip('not checked: nothing here knows the right time; let the system keep it by NTP')]
  const [{ domain, version } = { domain: '', version: 0 }] = ahead
  return [
    fail(
      `the clock says ${dateOf(nowMs)}, but server.${domain} was made at ${dateOf(version)}`,
      'The clock was set back, or was ahead then. Set it right: others refuse what comes from another time.',
    ),
  ]
}

export function judgeParents(
  parents: readonly ParentHealth[],
): readonly (Verdict & { readonly about?: string })[] {
  if (parents.length === 0) return [skip('the config names none')]
  return parents.map(({ parent, as, state, code }) => ({
    ...ofParent(parent, as, state, code),
    about: parent,
  }))
}

function ofParent(parent: string, as: string, state: ParentHealth['state'], code?: string): Verdict {
  const why = code === undefined ? '' : ` (${code})`
  switch (state) {
    case 'child':
      return ok(`is connected, and looks up for ${as}`)
    case 'away':
      return fail(
        `no connection of ${as} stands`,
        `Look at parent.failed in the log, and at: fmtp trace ${parent}. What only ${parent} reaches is not found meanwhile.`,
      )
    case 'stranger':
      return fail(
        `is connected, but does not look up for ${as}`,
        `The operator of ${parent} puts ${as}, or a pattern of it, into children.`,
      )
    case 'failed':
      return fail(`is connected, but gives ${as} no answer${why}`, `Look at the log of ${parent}.`)
  }
}

export function judgeChildren(config: LoadedConfig, { linkedChildren }: HealthResult): readonly Verdict[] {
  if (config.children.length === 0) return [skip('the config names none')]
  const patterns = config.children.join(', ')
  return [
    linkedChildren.length === 0
      ? ok(`of ${patterns} none is connected`)
      : ok(`of ${patterns} are connected: ${linkedChildren.join(', ')}`),
  ]
}

export function judgeQueue({ waiting, late }: StoreHealthResult): readonly Verdict[] {
  if (late.length === 0)
    return [ok(waiting === 0 ? 'nothing waits' : `${waiting} domains wait, none for long`)]
  const told = late.slice(0, namedMost).map(({ domain, sinceMs, code }) => {
    return `${domain} since ${dateOf(sinceMs)}${code === undefined ? '' : ` (${code})`}`
  })
  return [
    warn(
      `for more than ${limits.lateMs / hourMs} h waits what is for ${told.join(', ')}${andMore(late.length)}`,
      'See fmtp queue, and fmtp trace DOMAIN; fmtp queue retry DOMAIN tries again.',
    ),
  ]
}

export function judgeStore({ damage, aside }: StoreHealthResult): readonly Verdict[] {
  const verdicts: Verdict[] = []
  if (damage.length > 0)
    verdicts.push(
      fail(
        `LevelDB could not read all of the store when it was opened: ${damage[0]}`,
        'Look at the disk, run fmtp verify, and restore a backup.',
      ),
    )
  if (aside > 0)
    verdicts.push(
      warn(
        `${aside} rows were damaged on the disk and are put aside`,
        'Look at the disk; fmtp verify says which they are. Restore a backup, or let them come again.',
      ),
    )
  return verdicts.length > 0 ? verdicts : [ok('no damage was seen')]
}

export function judgePeerKeys({
  changed,
}: StoreHealthResult): readonly (Verdict & { readonly about?: string })[] {
  const verdicts = changed.slice(0, namedMost).map(({ domain, changes }) => {
    const [last] = changes.slice(-1)
    const names = (
      keys: readonly { readonly selector: string; readonly thumbprint: string }[] = [],
    ): string => keys.map(({ selector, thumbprint }) => `${selector} ${thumbprint}`).join(', ')
    const seenMs = Math.max(...(last?.from ?? []).map(({ lastAtMs }) => lastAtMs))
    const times = changes.length > 1 ? `, ${changes.length} times,` : ''
    return {
      about: domain,
      ...warn(
        `all keys changed at once${times} at ${dateOf(last?.atMs ?? 0)}: ${names(last?.to)} for ${names(last?.from)}, last seen ${dateOf(seenMs)}`,
        `Ask its operator by another way whether it is right, then: fmtp check --seen ${domain}`,
      ),
    }
  })
  if (verdicts.length === 0) return [ok('no domain has changed all its keys at once')]
  const more = changed.length - verdicts.length
  if (more > 0) verdicts.push({ about: `${more} more`, ...warn('all keys changed at once', 'See --json.') })
  return verdicts
}

const namedMost = 20
const hourMs = 3_600_000

function andMore(count: number): string {
  return count > namedMost ? ` and ${count - namedMost} more` : ''
}

function dateOf(ms: number): string {
  return Number.isFinite(ms) ? new Date(ms).toISOString() : 'never'
}
