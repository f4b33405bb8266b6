/** What is looked at in a row, by the first word of its key: each word of the table of keys has its check. */
import type { Row } from '../../objects/store/engine/leveldb.ts'
import { keyOf, type Word } from '../../objects/store/layout.ts'
import {
  checkBlob,
  checkBlobLeaving,
  checkCarried,
  checkIdle,
  checkLoose,
  checkPull,
  checkPulled,
  checkUploaded,
} from './blob-rows.ts'
import {
  checkAnswered,
  checkAttached,
  checkBoxed,
  checkCached,
  checkDigest,
  checkForeign,
  checkOwn,
  checkUnjoined,
  checkUsed,
  checkWaiting,
} from './box-rows.ts'
import {
  checkCourier,
  checkDelivery,
  checkDue,
  checkFrom,
  checkIntroduced,
  checkOwed,
  checkPinned,
  checkRelayed,
  checkRetry,
  checkTime,
} from './delivery-rows.ts'
import { checkHead, type EntryChecks } from './lists.ts'
import type { ObjectChecks } from './objects.ts'
import {
  type CredentialCounts,
  checkAccount,
  checkCredential,
  checkDevice,
  checkGone,
  checkListed,
  checkMade,
  checkResealing,
  checkRetention,
  checkSkeleton,
  checkStrangers,
  checkToken,
  checkWrote,
  type FindDomainKey,
} from './people-rows.ts'
import { checkNewest } from './places.ts'
import type { Sight } from './sight.ts'

export interface CheckParts {
  readonly objects: ObjectChecks
  readonly entries: EntryChecks
  readonly credentials: CredentialCounts
  readonly keys: { readonly isOwnDomain: (domain: string) => boolean; readonly find: FindDomainKey }
}

type RowCheck = (row: Row) => void | Promise<void>

/** In the order in which rows are looked at: deletions are noted before they are looked for, sums end with the heads. */
export function createChecks(
  sight: Sight,
  { objects, entries, credentials, keys }: CheckParts,
): Readonly<Record<Word, RowCheck>> {
  const plain =
    (check: (sight: Sight, key: string, value: string) => void | Promise<void>): RowCheck =>
    ([key, value]) =>
      check(sight, key, value)
  const nothing: RowCheck = () => undefined
  return {
    entry: ([key, value]) => entries.check(key, value),
    newest: plain(checkNewest),
    object: row => objects.check(row),
    view: row => objects.check(row),
    boxed: plain(checkBoxed),
    waiting: plain(checkWaiting),
    unjoined: plain(checkUnjoined),
    digest: plain(checkDigest),
    spoke: plain(checkOwn),
    answered: plain(checkAnswered),
    kept: plain(checkOwn),
    expires: plain(checkOwn),
    foreign: plain(checkForeign),
    cached: plain(checkCached),
    used: plain(checkUsed),
    attached: plain(checkAttached),
    carried: plain(checkCarried),
    idle: plain(checkIdle),
    blob: plain(checkBlob),
    uploaded: plain(checkUploaded),
    pulled: plain(checkPulled),
    pull: plain(checkPull),
    away: plain(checkDue),
    loose: plain(checkLoose),
    'blob-leaving': plain(checkBlobLeaving),
    relayed: plain(checkRelayed),
    head: plain(checkHead),
    credential: row => checkCredential(sight, row, keys, credentials),
    account: plain(checkAccount),
    made: plain(checkMade),
    gone: plain(checkGone),
    device: plain(checkDevice),
    resealing: plain(checkResealing),
    retention: plain(checkRetention),
    listed: plain(checkListed),
    skeleton: plain(checkSkeleton),
    token: plain(checkToken),
    pinned: plain(checkPinned),
    from: plain(checkFrom),
    wrote: plain(checkWrote),
    strangers: plain(checkStrangers),
    met: plain(checkTime),
    introduced: plain(checkIntroduced),
    courier: plain(checkCourier),
    delivery: plain(checkDelivery),
    told: plain(checkCourier),
    retry: plain(checkRetry),
    due: plain(checkDue),
    owed: plain(checkOwed),
    peer: plain(checkTime),
    absent: plain(checkTime),
    damaged: plain(checkDamaged),
    // A removal that is under way, or is finished at the next start.
    leaving: nothing,
    meta: nothing,
  }
}

/** What came again needs no reminder. */
function checkDamaged(sight: Sight, key: string): void {
  if (sight.get(key.slice(keyOf.damaged('').length)) === undefined)
    sight.find('object-aside', key, 'restore a backup; what is of another domain may come again from there')
}
