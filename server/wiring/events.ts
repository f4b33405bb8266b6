/** What the parts of a server have to say, as lines of its log: which are loud, and which only who looks closely sees. */
import { damageAdvice, objectAdvice, rowAdvice } from '../../objects/store/engine/damage.ts'
import { lastPart } from '../../objects/store/layout.ts'
import type { KeyChange } from '../../routing/dns/key-history.ts'
import type { Step } from '../../routing/ladder.ts'
import { toFmtpError } from '../../schemas/failures.ts'
import type { Log } from '../core/log.ts'
import type { AdmitDecision } from '../exchange/admit.ts'

type Record = Readonly<{ [name: string]: unknown }>

export interface Telling {
  /** Of the core and what lives beside it. */
  onEvent(event: string, record: Record): void
  /** A key of the store whose value is not what it was. */
  onDamaged(key: string): void
  /** All keys of another domain changed at once. */
  onKeyChanged(change: KeyChange & { readonly domain: string }): void
  onStoreDamage(lines: readonly string[]): void
  onBlobDamaged(sha256: string): void
  /** One step of a climb of this name. */
  onStep(climb: string): (about: string, step: Step) => void
  onDecision(decision: AdmitDecision): void
  onDelivery(event: string, record: Record): void
  /** Work that nobody waits for has failed. */
  onFailed(what: string): (thrown: unknown) => void
}

/** What somebody has to look at. */
const loudEvents: ReadonlySet<string> = new Set(['store.failed', 'store.damage', 'disk.full'])

/** Steps that went well and say nothing that others do not say. */
const routineSteps: ReadonlySet<string> = new Set(['cache', 'tls', 'dial'])

export function createTelling(log: Log): Telling {
  function tell(event: string, record: Record, isRoutine: boolean): void {
    if (!isRoutine) log.info(record, event)
    else if (log.isDebug) log.debug(record, event)
  }

  return {
    onEvent: (event, record) => (loudEvents.has(event) ? log.error(record, event) : log.info(record, event)),
    onDamaged(key) {
      const isObject = /^(object|view) /.test(key)
      const advice = isObject ? objectAdvice : rowAdvice
      log.error({ key, id: lastPart(key), advice }, isObject ? 'object.damaged' : 'index.damaged')
    },
    onKeyChanged: ({ domain, atMs: _, from, to }) =>
      log.warn(
        {
          domain,
          from: from.map(({ selector, thumbprint }) => ({ selector, thumbprint })),
          to,
          lastSeen: new Date(Math.max(...from.map(each => each.lastAtMs))).toISOString(),
          advice: `ask its operator by another way, then: fmtp check --seen ${domain}`,
        },
        'key.changed',
      ),
    onStoreDamage: lines => log.error({ lines, advice: damageAdvice }, 'store.damage'),
    onBlobDamaged: sha256 => log.error({ sha256, advice: 'put it back from a backup' }, 'blob.damaged'),
    onStep: climb => (about, step) =>
      tell('route', { climb, about, ...step }, step.outcome === 'ok' && routineSteps.has(step.what)),
    onDecision(decision) {
      const { outcome } = decision
      tell('admit', { ...decision }, ['stored', 'duplicate', 'relayed'].includes(outcome))
    },
    onDelivery: (event, record) => tell(event, record, isRoutine(event, record)),
    onFailed: what => thrown => {
      const error = toFmtpError(thrown)
      if (error.code !== 'FMTP_SHUTTING_DOWN')
        log.error({ what, code: error.code, reason: error.message }, 'failed')
    },
  }
}

/** What happens with every object. */
function isRoutine(event: string, record: Record): boolean {
  return (
    event === 'deliver.sent' ||
    event === 'deliver.answer' ||
    event === 'deliver.direct' ||
    event === 'deliver.direct-answer' ||
    record.what === 'reuse'
  )
}
