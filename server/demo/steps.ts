/**
 * Tells a conversation from what the processes logged. Each step names the records that can make it true and those that
 * can make it fail, and puts them into words; it holds no outcome of its own.
 */
import type { Conversation, Said } from './conversation.ts'
import type { LogRecord } from './stage.ts'

export interface Told {
  readonly text: string
  readonly atMs: number
  /** False: this is where the conversation broke off. */
  readonly isWell: boolean
}

/** What has been logged, asked by name of the process. */
type Find = (who: string, event: string, fields: Readonly<Record<string, unknown>>) => LogRecord | undefined

export interface StepFinder {
  /** `undefined` while nothing of it has been logged. */
  find(records: readonly LogRecord[]): Told | undefined
}

/** The fifteen steps of a first conversation from one server to another. */
export function stepsOf(conversation: Conversation, said: Said): readonly StepFinder[] {
  const [from, to] = [said.from, said.to].map(address => {
    const role = conversation.servers.find(({ domain }) => address.endsWith(`@${domain}`))
    return { name: role?.name ?? '?', domain: role?.domain ?? '?' }
  }) as [Role, Role]
  const recipient = conversation.people.find(({ address }) => address === said.to)
  const steps = recipient?.isListening === true ? directSteps : homeSteps
  return [...meetingSteps, ...steps].map(step => ({
    find: records => step({ from, to, said }, finder(records)),
  }))
}

interface Role {
  readonly name: string
  readonly domain: string
}

interface Cast {
  readonly from: Role
  readonly to: Role
  readonly said: Said
}

type Step = (cast: Cast, find: Find) => Told | undefined

function finder(records: readonly LogRecord[]): Find {
  return (who, event, fields) =>
    records.find(
      record =>
        record.who === who &&
        record.event === event &&
        Object.entries(fields).every(([name, value]) => record.fields[name] === value),
    )
}

function well(record: LogRecord, text: string): Told {
  return { text, atMs: record.atMs, isWell: true }
}

function broken(record: LogRecord, text: string): Told {
  return {
    text: `${text}: ${record.fields.code ?? record.fields.outcome}.`,
    atMs: record.atMs,
    isWell: false,
  }
}

const detailOf = (record: LogRecord): Record<string, unknown> =>
  (record.fields.detail ?? {}) as Record<string, unknown>

const meetingSteps: readonly Step[] = [
  ({ from, said }, find) => {
    const step = find(from.name, 'route', { climb: 'lookup', about: said.to, what: 'cache' })
    if (step === undefined) return undefined
    return well(
      step,
      `${from.name}'s cache ${step.fields.outcome === 'miss' ? 'does not know' : 'knows'} ${said.to}.`,
    )
  },
  ({ from, to, said }, find) => {
    const step = find(from.name, 'route', { about: said.to, what: 'hosts' })
    if (step === undefined) return undefined
    const { via, hosts } = detailOf(step)
    if (step.fields.outcome !== 'ok') return broken(step, `${from.name} finds no host of ${to.domain}`)
    const kind = via === 'mx' ? 'MX' : via === 'srv' ? 'SRV' : 'Address'
    return well(step, `${kind} of ${to.domain} is ${(hosts as string[]).join(', ')}.`)
  },
  ({ from, to }, find) => {
    const failed = find(from.name, 'key.failed', { domain: to.domain })
    if (failed !== undefined) return broken(failed, `${from.name} can not fetch ${failed.fields.record}`)
    const fetched = find(from.name, 'key.fetched', { domain: to.domain })
    return fetched && well(fetched, `${from.name} fetches and caches the key at ${fetched.fields.record}.`)
  },
  ({ from, said }, find) => {
    const step = find(from.name, 'route', { climb: 'lookup', about: said.to, what: 'connect' })
    if (step === undefined) return undefined
    const { host } = detailOf(step)
    return step.fields.outcome === 'ok'
      ? well(step, `${from.name} connects to ${host}.`)
      : broken(step, `${from.name} can not connect to ${host}`)
  },
  ({ from, to }, find) => {
    const sent = find(from.name, 'hello.sent', { as: from.domain, to: to.domain })
    return sent && well(sent, `${from.name} says who it is, with its proof.`)
  },
  ({ from, to }, find) => {
    const miss = find(to.name, 'key.miss', { domain: from.domain })
    return miss && well(miss, `${to.name}'s cache has no key for ${from.domain}.`)
  },
  ({ from, to }, find) => {
    const failed = find(to.name, 'key.failed', { domain: from.domain })
    if (failed !== undefined) return broken(failed, `${to.name} can not fetch ${failed.fields.record}`)
    const fetched = find(to.name, 'key.fetched', { domain: from.domain })
    return fetched && well(fetched, `${to.name} fetches ${fetched.fields.record}.`)
  },
  ({ from, to }, find) => {
    const failed = find(to.name, 'hello.failed', { as: from.domain })
    if (failed !== undefined) return broken(failed, `${to.name} does not believe the proof`)
    const verified = find(to.name, 'hello.verified', { as: from.domain })
    return verified && well(verified, `${to.name} verifies the proof.`)
  },
  ({ from, to }, find) => {
    const sent = find(to.name, 'hello.sent', { as: to.domain, to: from.domain })
    return sent && well(sent, `${to.name} says who it is, with its proof.`)
  },
  ({ from, to }, find) => {
    const failed = find(from.name, 'hello.failed', { as: to.domain })
    if (failed !== undefined) return broken(failed, `${from.name} does not believe it`)
    const verified = find(from.name, 'hello.verified', { as: to.domain })
    return verified && well(verified, `${from.name} verifies it.`)
  },
  ({ from, said }, find) => {
    const asked = find(from.name, 'route', { climb: 'lookup', about: said.to, what: 'ask' })
    return asked && well(asked, `${from.name} requests ${said.to}.`)
  },
  ({ to, from, said }, find) => {
    const described = find(to.name, 'described', { id: `user.${said.to}`, to: from.domain })
    if (described === undefined) return undefined
    const contacts = (described.fields.contacts ?? []) as { host: string; port: number; protocol: string }[]
    const shown = contacts.map(({ host, port, protocol }) => `contact ${host} port ${port} ${protocol}`)
    return well(
      described,
      `${to.name} describes it: ${shown.length === 0 ? 'no contact' : shown.join(', ')}.`,
    )
  },
]

const homeSteps: readonly Step[] = [
  ({ from, said }, find) => {
    const tried = find(from.name, 'route', {
      climb: 'contact',
      about: said.to,
      rung: 'recommended',
      what: 'connect',
    })
    const back = find(from.name, 'route', { climb: 'contact', about: said.to, rung: 'domain', what: 'reuse' })
    if (tried === undefined || back === undefined) return undefined
    const { host, port } = detailOf(tried)
    const outcome = tried.fields.outcome === 'ok' ? 'reaches it' : 'cannot reach it'
    const home = String(detailOf(back).host).replace(/:\d+$/, '')
    return well(
      back,
      `${from.name} tries ${host}:${port}, ${outcome}, and goes back to ${home} over the connection that is still open.`,
    )
  },
  ({ from, said }, find) => {
    const described = findDescribed(from, said, 'deliver.sent', find)
    return (
      described &&
      well(
        described,
        `${from.name} describes ${said.from}, then the message from ${shorten(said.from)} to ${shorten(said.to)}.`,
      )
    )
  },
  ({ to, said }, find) => {
    const refused = find(to.name, 'admit', { kind: 'message', for: said.to, outcome: 'refused' })
    if (refused !== undefined) return broken(refused, `${to.name} does not take it`)
    const stored = find(to.name, 'admit', { kind: 'message', for: said.to, outcome: 'stored' })
    const user = find(to.name, 'passed', { kind: 'user', to: said.to, outcome: 'stored' })
    const message = find(to.name, 'passed', { kind: 'message', to: said.to, outcome: 'stored' })
    if (stored === undefined || user === undefined || message === undefined) return undefined
    return well(
      message,
      `${to.name} says it is stored, and passes both on over ${shorten(said.to)}'s logged-in connection, which acknowledges.`,
    )
  },
]

const directSteps: readonly Step[] = [
  ({ from, said }, find) => {
    const connected = find(from.name, 'route', {
      climb: 'contact',
      about: said.to,
      rung: 'recommended',
      what: 'connect',
    })
    const proven = find(from.name, 'hello.verified', { as: said.to })
    if (connected === undefined || proven === undefined) return undefined
    const { host, port } = detailOf(connected)
    return well(
      proven,
      `${from.name} connects to ${host}:${port}, where ${shorten(said.to)} proves itself with its device key.`,
    )
  },
  ({ from, said }, find) => {
    const direct = findDescribed(from, said, 'deliver.direct', find)
    const home = findDescribed(from, said, 'deliver.sent', find)
    if (direct === undefined || home === undefined) return undefined
    const host = String(home.fields.host).replace(/:\d+$/, '')
    return well(
      home,
      `${from.name} describes ${said.from}, then the message from ${shorten(said.from)} to ${shorten(said.to)}, to ${shorten(said.to)} itself, and then to ${host}.`,
    )
  },
  ({ from, to, said }, find) => {
    const user = find(said.to, 'taken', { kind: 'user', from: from.domain })
    const message = find(said.to, 'taken', { kind: 'message', from: from.domain })
    const stored = find(to.name, 'admit', { kind: 'message', for: said.to, outcome: 'stored' })
    const storedUser = find(to.name, 'admit', { kind: 'user', for: said.to, outcome: 'stored' })
    if (user === undefined || message === undefined || stored === undefined || storedUser === undefined)
      return undefined
    return well(stored, `${shorten(said.to)} takes both, and ${to.name} says they are stored.`)
  },
]

/** The record of the message, where the author's user object went before it. */
function findDescribed(from: Role, said: Said, event: string, find: Find): LogRecord | undefined {
  const user = find(from.name, event, { kind: 'user', id: `user.${said.from}` })
  const message = find(from.name, event, { kind: 'message', owner: said.from })
  return user !== undefined && message !== undefined && user.atMs <= message.atMs ? message : undefined
}

function shorten(address: string): string {
  return address.slice(0, address.indexOf('@'))
}
