/** Whether DNS shows just the keys that the server has (protocol §7.1): what is missing, what is not ours, what is left over. */
import { findRecordKey, keyRecordsMost } from '../../routing/dns/domain-keys.ts'
import type { Resolver } from '../../routing/dns/resolver.ts'
import { limits } from '../../schemas/limits.ts'
import type { Domain } from '../../schemas/text/names.ts'
import { fail, ok, reasonOf, type Verdict, warn } from './finding.ts'
import { type FileKey, isOf } from './own-keys.ts'

interface Shown {
  readonly keys: readonly NonNullable<ReturnType<typeof findRecordKey>>[]
  /** Records that look like keys and are none. */
  readonly broken: readonly string[]
  /** Behind those that anybody looks at. */
  readonly unseen: number
  readonly ttlMs: number
  readonly isSecure: boolean
}

export async function checkKeyRecords(
  domain: Domain,
  keys: readonly FileKey[],
  { resolver, nowMs, signal }: { resolver: Resolver; nowMs: number; signal: AbortSignal },
): Promise<readonly Verdict[]> {
  let shown: Shown
  try {
    shown = await ask(resolver, domain, signal)
  } catch (thrown) {
    return [
      fail(
        `fmtpkey.${domain} can not be asked for: ${reasonOf(thrown)}`,
        'Ask the name servers of dns.servers by hand; without an answer others believe nothing of this domain.',
      ),
    ]
  }
  const verdicts = [
    ...keys.flatMap(key => ofOwn(key, shown, { domain, nowMs }) ?? []),
    ...shown.keys.flatMap(each => ofOther(each, keys, domain) ?? []),
    ...ofRest(shown, domain),
  ]
  if (verdicts.length > 0) return verdicts
  const seconds = Math.round(shown.ttlMs / 1000)
  const selectors = shown.keys.map(({ selector }) => selector).join(', ')
  return [ok(`fmtpkey.${domain} shows ${selectors}, TTL ${seconds} s, ${secureText(shown.isSecure)}`)]
}

async function ask(resolver: Resolver, domain: Domain, signal: AbortSignal): Promise<Shown> {
  const { records, ttlMs, isSecure } = await resolver.txt(`fmtpkey.${domain}`, { fresh: true, signal })
  const seen = records.slice(0, keyRecordsMost)
  return {
    keys: seen.flatMap(record => findRecordKey(record) ?? []),
    broken: seen.filter(record => /^v=FMTP1\b/i.test(record) && findRecordKey(record) === undefined),
    unseen: records.length - seen.length,
    ttlMs,
    isSecure,
  }
}

/** Whether DNSSEC vouches for it: that it does not may be the fault of the name server that was asked. */
export function secureText(isSecure: boolean): string {
  return isSecure ? 'secure (DNSSEC)' : 'not vouched for by DNSSEC'
}

function publish(domain: Domain, record: string): string {
  return `fmtpkey.${domain}. IN TXT "${record}"`
}

/** Nothing where all is as it should be. */
function ofOwn(
  each: FileKey,
  shown: Shown,
  { domain, nowMs }: { domain: Domain; nowMs: number },
): Verdict | undefined {
  const { state, key, record, endsAtMs = 0 } = each
  const { selector } = key
  const isShown = shown.keys.some(other => isOf(each, other))
  if (state === 'current' && !isShown)
    return fail(
      `the key ${selector}, which signs, is not among the records of fmtpkey.${domain}`,
      `Others believe nothing that this server says. Publish: ${publish(domain, record)}`,
    )
  if (state === 'next' && !isShown)
    return warn(
      `the key ${selector}, which is to sign next, is not in DNS yet`,
      `It waits for that. Publish: ${publish(domain, record)}`,
    )
  if (state === 'old' && !isShown && nowMs < endsAtMs)
    return warn(
      `the old key ${selector} is not in DNS any more, though what it made lives until ${dateOf(endsAtMs)}`,
      `Unless it was stolen, publish it again until then: ${publish(domain, record)}`,
    )
  if (state === 'old' && isShown && nowMs >= endsAtMs)
    return warn(
      `the old key ${selector} is left over: nothing that it made is believed any more`,
      `fmtp key retire ${selector} --domain ${domain}, then take its record out of DNS.`,
    )
  if (state === 'retired' && isShown)
    return warn(
      `the record of the key ${selector} is left over: that key was deleted`,
      `Take it out of DNS: ${publish(domain, record)}`,
    )
  return undefined
}

function ofOther(
  shown: Shown['keys'][number],
  keys: readonly FileKey[],
  domain: Domain,
): Verdict | undefined {
  if (keys.some(key => isOf(key, shown))) return undefined
  const isNamesake = keys.some(({ key }) => key.selector === shown.selector)
  return fail(
    isNamesake
      ? `DNS shows another key under the selector ${shown.selector}`
      : `DNS shows a key ${shown.selector} that this server does not have`,
    `Whoever has that key can speak for ${domain} and all its users. If it is no mistake and no second server, somebody else has changed the zone: take the record out, and secure the account.`,
  )
}

function ofRest({ broken, unseen, ttlMs }: Shown, domain: Domain): Verdict[] {
  const verdicts = broken.map(record =>
    warn(
      `a record of fmtpkey.${domain} can not be read as a key: ${record.slice(0, 80)}`,
      'Publish it just as fmtp key list prints it, or take it out.',
    ),
  )
  if (unseen > 0)
    verdicts.push(
      warn(
        `fmtpkey.${domain} has ${unseen} records more than the ${keyRecordsMost} that others look at`,
        'Take out what is not needed.',
      ),
    )
  if (ttlMs > limits.keyMostMs)
    verdicts.push(
      warn(
        `the TTL of fmtpkey.${domain} is ${Math.round(ttlMs / 1000)} s`,
        'Make it a day at most, better an hour: so long a change of keys takes, also after a theft.',
      ),
    )
  return verdicts
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString()
}
