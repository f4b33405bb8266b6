/** `fmtp key list`, `key rotate`, `key retire`: the keys of a domain, from one to the next. */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { FmtpError } from '../../../schemas/failures.ts'
import type { KeyReport } from '../../accounts/rotation.ts'
import { runAction } from '../../control/client.ts'
import type { KeysResult, RetireResult } from '../../operator/keys.ts'
import { operate } from './operator.ts'

const usage =
  'usage: fmtp key list [DOMAIN] | key rotate [DOMAIN] [--now] | key retire SELECTOR [--domain DOMAIN] [--force]'

export async function key(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      config: { type: 'string', default: 'fmtp.conf' },
      domain: { type: 'string' },
      now: { type: 'boolean', default: false },
      force: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  const [verb = '', name, more] = positionals
  if (more !== undefined) throw new FmtpError('FMTP_BAD_NAME', usage)
  const config = resolve(values.config)
  const domain = verb === 'retire' ? values.domain : (name ?? values.domain)
  const about = domain === undefined ? {} : { domain }
  switch (verb) {
    case 'list':
      return operate(
        'key list',
        values.json,
        async ports => (await runAction(config, 'key list', about, ports)) as KeysResult,
        ({ keys }) => keys.map(line).join('\n'),
      )
    case 'rotate':
      return operate(
        'key rotate',
        values.json,
        async ports =>
          (await runAction(config, 'key rotate', { ...about, isHurried: values.now }, ports)) as KeysResult,
        ({ keys }) => tellRotation(keys),
      )
    case 'retire': {
      if (name === undefined) throw new FmtpError('FMTP_BAD_NAME', usage)
      const wanted = { ...about, selector: name, isForced: values.force }
      return operate(
        'key retire',
        values.json,
        async ports => (await runAction(config, 'key retire', wanted, ports)) as RetireResult,
        retired =>
          `deleted the key ${retired.selector}; take its record out of DNS:\n${recordLine(retired.domain, retired.record)}`,
      )
    }
    default:
      throw new FmtpError('FMTP_BAD_NAME', usage)
  }
}

const dnsWords: Readonly<Record<KeyReport['dns'], string>> = {
  shown: 'in DNS',
  missing: 'not in DNS',
  unknown: 'no name server answered',
  none: 'needs no DNS',
}

function line(report: KeyReport): string {
  const { domain, selector, state, dns, record, signsFrom, mayBeRetiredFrom } = report
  const times = [
    ...(signsFrom === undefined ? [] : [`signs from ${signsFrom}`]),
    ...(mayBeRetiredFrom === undefined ? [] : [`may be retired from ${mayBeRetiredFrom}`]),
  ]
  const words = [`${domain}  ${selector}  ${state}`, dnsWords[dns], ...times].join(', ')
  return `${words}\n${recordLine(domain, record)}`
}

function recordLine(domain: string, record: string): string {
  return `  fmtpkey.${domain}. IN TXT "${record}"`
}

/** What is to be done now. */
function tellRotation(keys: readonly KeyReport[]): string {
  const next = keys.find(({ state }) => state === 'next')
  const current = keys.find(({ state }) => state === 'current')
  if (current === undefined) return keys.map(line).join('\n')
  if (next === undefined) {
    const stays = keys.filter(({ state, dns }) => state === 'old' && dns !== 'none').map(line)
    return [`${current.selector} signs for ${current.domain} now.`, ...stays].join('\n')
  }
  const records = [
    `add   ${recordLine(next.domain, next.record)}`,
    `keep  ${recordLine(current.domain, current.record)}`,
  ]
  const when =
    next.signsFrom === undefined
      ? 'It signs when DNS has shown it for as long as answers from before may be kept (--now: as soon as it is shown).'
      : `DNS shows it. It signs from ${next.signsFrom} (--now: at once).`
  return [...records, `${current.selector} signs until then. ${when}`, 'Look with: fmtp key list'].join('\n')
}
