/**
 * What a user meets with at a domain: somebody is looked up there and written to at the same time, and what became of both is
 * held against what should. And what others notice of it: lookups and messages to a domain that is well, one after the other.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../../client/connection.ts'
import { mintId } from '../../objects/id.ts'
import { parseAddress } from '../../schemas/text/names.ts'
import type { StateResult } from '../../server/delivery/status/results.ts'
import type { LogRecord } from './network.ts'

/** A user at a server whose log can be read. */
export interface Asker {
  readonly address: string
  readonly client: Connection
  readonly server: { readonly log: readonly LogRecord[] }
}

export interface Met {
  readonly lookup: Told
  /** Of the message, once it has been tried. */
  readonly state: Told
  readonly id: string
  /** `what outcome` of each step of both ladders. */
  readonly steps: readonly string[]
}

interface Told {
  readonly outcome: string | undefined
  readonly code: string | undefined
  readonly ms: number
}

/** How things should come out; without `code` there is none. */
export interface Expected {
  readonly lookup: readonly [outcome: string, code?: string]
  readonly state: readonly [outcome: string, code?: string]
  /** True: the host rests from then on, which is the reason for whoever comes a moment later. */
  readonly isToRest?: true
  /** Steps that say why, of the trail of each ladder. */
  readonly steps: readonly string[]
  readonly leastMs?: number
  readonly mostMs: number
}

/** `sought`: what is looked up instead. */
export async function meet(asker: Asker, address: string, sought: object = { address }): Promise<Met> {
  const since = asker.server.log.length
  const [lookup, { id, ...state }] = await Promise.all([
    timed(async () => (await asker.client.request({ ...sought, effort: 'lookup' })).answer),
    write(asker, address),
  ])
  const domain = address.replace(/^.*@/, '')
  const steps = asker.server.log
    .slice(since)
    .filter(({ event, record }) => event === 'route' && String(record.about).endsWith(domain))
    .map(({ record }) => `${record.climb} ${record.what} ${record.outcome}`)
  return { lookup, state, id, steps }
}

/** Writes to somebody and waits until that was tried. */
async function write({ address: from, client }: Asker, to: string): Promise<Told & { readonly id: string }> {
  const id = mintId(parseAddress(from), Date.now())
  const object = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: [to] }
  const told = await timed(async () => {
    const { outcome, code } = await client.describe({ object })
    assert.equal(outcome, 'stored', code)
    for (;;) {
      const state = await stateOf(client, id)
      // An attempt is counted before it is made; its code comes when it has failed.
      if (state?.outcome === 'trying' ? state.code !== undefined : state?.outcome !== 'queued')
        return state ?? {}
      await sleep(20)
    }
  })
  return { ...told, id }
}

/** Of a message to one recipient. */
export async function stateOf(client: Connection, id: string): Promise<StateResult | undefined> {
  const { answer } = await client.request({ id })
  return (answer.results as StateResult[] | undefined)?.[0]
}

async function timed(
  work: () => Promise<{ readonly outcome?: string; readonly code?: string }>,
): Promise<Told> {
  const startMs = performance.now()
  const { outcome, code } = await work()
  return { outcome, code, ms: Math.round(performance.now() - startMs) }
}

export function assertMet(met: Met, { lookup, state, isToRest, steps, leastMs = 0, mostMs }: Expected): void {
  const told = JSON.stringify(met, undefined, 1)
  assert.deepEqual([met.lookup.outcome, met.lookup.code], [lookup[0], lookup[1]], told)
  const code = isToRest === true && met.state.code === 'FMTP_RESTING' ? state[1] : met.state.code
  assert.deepEqual([met.state.outcome, code], [state[0], state[1]], told)
  for (const step of steps) assert.ok(met.steps.includes(step), `${step}: ${told}`)
  for (const { ms } of [met.lookup, met.state]) assert.ok(ms >= leastMs && ms <= mostMs, told)
}

const lookups = 20
const messages = 5
const mostMs = 1000

/**
 * Looks for twenty at a domain to which nobody has spoken before, and writes to one of them five times.
 * @throws when half of either takes longer than a second, or any fails
 */
export async function assertUnslowed(asker: Asker, domain: string): Promise<void> {
  const found: Told[] = []
  const stored: Told[] = []
  for (let number = 0; number < lookups; number++) {
    const address = `reader${number}@${domain}`
    found.push(await timed(async () => (await asker.client.request({ address, effort: 'lookup' })).answer))
  }
  for (let number = 0; number < messages; number++) stored.push(await write(asker, `reader0@${domain}`))
  const outcomes = found.map(({ outcome }) => outcome)
  assert.deepEqual(outcomes, ['found', ...Array.from({ length: lookups - 1 }, () => 'absent')])
  assert.ok(
    stored.every(({ outcome }) => outcome === 'stored'),
    JSON.stringify(stored),
  )
  for (const each of [found, stored]) {
    const ms = each.map(told => told.ms).toSorted((left, right) => left - right)
    assert.ok((ms[Math.floor(ms.length / 2)] ?? 0) < mostMs, `${domain}: ${ms} ms`)
  }
}
