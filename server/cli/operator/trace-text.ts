/** A trace for people: a line for each step, like traceroute; the rung, what was done, with whom, how long, why it failed. */
import type { Step } from '../../../routing/ladder.ts'
import type { Failed } from '../../../routing/lookup/trace.ts'
import type { FailureCode } from '../../../schemas/failures.ts'
import type { TraceResult } from '../../operator/tracer.ts'

type Paint = (text: string) => string
interface Paints {
  readonly good: Paint
  readonly bad: Paint
  readonly dim: Paint
  readonly strong: Paint
}

export function tellTrace(result: TraceResult, isColoured: boolean): string {
  const paints = isColoured ? coloured : plain
  const { lookup, contact } = result
  const who = `as ${result.as ?? 'a guest'}, ${result.isServer ? 'by the running server' : 'from this command'}`
  const steps = [...lookup.steps, ...(contact?.steps ?? [])]
  const widths = { rung: widest(steps, 'rung'), what: widest(steps, 'what') }
  const lines = [
    `${paints.strong(`looking up ${result.about}`)}  ${paints.dim(who)}`,
    ...tellSteps(lookup.steps, widths, paints),
    tellLookup(result, paints),
  ]
  if (contact === undefined) return lines.join('\n')
  const end =
    contact.outcome === 'reached'
      ? paints.good(`reached: ${contact.name} at ${contact.host}, by ${contact.rung}`)
      : tellFailed(result, contact.failed?.code === lookup.failed?.code ? undefined : contact.failed, paints)
  return [...lines, '', paints.strong('reaching'), ...tellSteps(contact.steps, widths, paints), end].join(
    '\n',
  )
}

function tellLookup({ about, lookup }: TraceResult, paints: Paints): string {
  if (lookup.outcome === 'found') {
    const made = lookup.version === undefined ? '' : `, of ${new Date(lookup.version).toISOString()}`
    return paints.good(`found: ${lookup.id}, ${lookup.kind}${made}, by ${lookup.rung}`)
  }
  if (lookup.outcome === 'absent') return paints.bad(`absent: ${lookup.rung} says that there is none`)
  return tellFailed({ about }, lookup.failed, paints)
}

/** What has failed, why, and what can be done. Without a failure: it was told above. */
function tellFailed(
  { about }: Pick<TraceResult, 'about'>,
  failed: Failed | undefined,
  paints: Paints,
): string {
  if (failed === undefined) return paints.bad('unreachable: as above')
  const why = failed.reason === '' ? '' : `\n  ${failed.reason}`
  const advice = advices[failed.code]?.replaceAll('DOMAIN', about.slice(about.lastIndexOf('@') + 1))
  const todo = advice === undefined ? '' : `\n  ${advice}`
  return `${paints.bad(`unreachable: ${failed.text} (${failed.code})`)}${why}${todo}`
}

function tellSteps(
  steps: readonly Step[],
  widths: { readonly rung: number; readonly what: number },
  paints: Paints,
): string[] {
  let number = 0
  let rung: string | undefined
  return steps.map(step => {
    const isNext = step.rung !== rung || isAnother(step, steps)
    rung = step.rung
    const head = isNext ? `${String(++number).padStart(2)}  ${step.rung}` : ''
    const outcome = step.outcome === 'ok' ? '' : `  ${paintOutcome(step, paints)}`
    const ms = `${Math.round(step.ms)} ms`.padStart(9)
    return `${head.padEnd(widths.rung + 4)}  ${step.what.padEnd(widths.what)}${ms}  ${tellDetail(step)}${outcome}`
  })
}

/** Rungs of one name follow each other where contacts have several priorities; each begins with its addresses. */
function isAnother(step: Step, steps: readonly Step[]): boolean {
  const before = steps[steps.indexOf(step) - 1]
  return step.rung === 'recommended' && step.what === 'addresses' && before?.what === 'dial'
}

function paintOutcome({ outcome, detail }: Step, paints: Paints): string {
  if (outcome === 'miss') return paints.dim('none')
  if (outcome === 'unneeded') return paints.dim('not needed: another answered first')
  const reason = typeof detail.reason === 'string' ? detail.reason.replace(/^FMTP_[A-Z_]+(: |$)/, '') : ''
  return paints.bad(`${outcome}${reason === '' ? '' : ` ${reason}`}`)
}

/** What is known of a step, in the order in which a person asks for it. Others print rungs and steps that this page does not know. */
function tellDetail({ what, detail }: Step): string {
  const { host, address, port, name, answers, server, addresses, skipped, about, domain, id } = detail
  const parts: string[] = []
  if (host !== undefined && port !== undefined && address !== undefined)
    parts.push(`${host} (${place(address, port)})`)
  else if (host !== undefined && port !== undefined) parts.push(place(host, port))
  else
    for (const one of [
      about,
      name,
      what === 'key' ? detail.record : domain,
      id,
      address,
      host,
      detail.parent,
    ])
      if (typeof one === 'string') parts.push(one)
  if (Array.isArray(answers) && answers.length > 0) parts.push(`= ${answers.join(' | ')}`)
  if (Array.isArray(addresses)) parts.push(`= ${addresses.join(', ')}`)
  if (Array.isArray(detail.selectors)) parts.push(`= ${detail.selectors.join(', ')}`)
  for (const each of Array.isArray(skipped) ? skipped : []) parts.push(`without ${each.host} (${each.code})`)
  if (typeof server === 'string') parts.push(`from ${server}`)
  if (typeof detail.version === 'string') parts.push(detail.version)
  if (typeof detail.ageMs === 'number') parts.push(`${tellAge(detail.ageMs)} old`)
  if (what === 'front') parts.push(`by ${detail.by}`)
  if (what === 'hello' && typeof detail.as === 'string') parts.push(`to ${detail.as}`)
  return parts.join(' ')
}

function place(host: unknown, port: unknown): string {
  return String(host).includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function tellAge(ms: number): string {
  const [minutes, hours] = [ms / 60_000, ms / 3_600_000]
  if (minutes < 2) return `${Math.round(ms / 1000)} s`
  return hours < 2 ? `${Math.round(minutes)} min` : `${Math.round(hours)} h`
}

function widest(steps: readonly Step[], member: 'rung' | 'what'): number {
  return Math.max(0, ...steps.map(step => step[member].length))
}

const same: Paint = text => text
const plain: Paints = { good: same, bad: same, dim: same, strong: same }
const paint =
  (code: number): Paint =>
  text =>
    `\u001b[${code}m${text}\u001b[0m`
const coloured: Paints = { good: paint(32), bad: paint(31), dim: paint(2), strong: paint(1) }

/** What can be done about a failure, and by whom. */
const advices: Partial<Record<FailureCode, string>> = {
  FMTP_DNS_FAILED:
    'Ask the name servers by hand; look at dns.servers in the config. Nothing is lost: it is tried again.',
  FMTP_NO_KEY: 'Its operator publishes the TXT record fmtpkey.DOMAIN, or the domain does not speak FMTP.',
  FMTP_NO_HOST: 'Its operator publishes SRV _fmtp._tcp.DOMAIN, or an MX, to a host with an address.',
  FMTP_CONNECT_FAILED:
    'Its server is down, a firewall is between, or SRV names another port than it listens on.',
  FMTP_HELLO_TIMEOUT:
    'Something listens there, but it speaks no FMTP, or hangs. Its operator looks at its log.',
  FMTP_DISCONNECTED: 'It closed the connection without a word. Its operator looks at its log.',
  FMTP_TIMEOUT: 'It took the question and did not answer. Its operator looks at its log.',
  FMTP_PROOF:
    'One of the two domain keys is not the one that DNS shows: compare fmtp key list there with the record, and here.',
  FMTP_NOT_MINE: 'That server does not serve the domain: its records lead to the wrong host.',
  FMTP_WRONG_PEER: 'Another domain answers there: the records lead to the wrong host.',
  FMTP_SEAL: 'What was given is not sealed with a key that DNS shows.',
  FMTP_SEAL_CREDENTIAL: 'What was given is not sealed with a key that DNS shows.',
  FMTP_GUARDED:
    'It is not a public address, or a port below 1024. guard.allow in the config opens a network.',
  FMTP_ISLAND: 'A server for localhost reaches nobody. Give it a domain, or trace with --guest.',
  FMTP_RATE: 'It takes no more for a while. Try again later.',
}
