/**
 * `verify`, the action: rereads every object, every row of every index in both directions, and every blob, from one
 * snapshot of the store. It writes nothing; what it finds is for a person, and for `repair.ts`.
 */
import { join } from 'node:path'
import { setImmediate as breathe } from 'node:timers/promises'
import type { Row } from '../../objects/store/engine/leveldb.ts'
import type { Write } from '../../objects/store/engine/write.ts'
import { keyOf, type Range, rangeOf, type Word } from '../../objects/store/layout.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { domainOf, type Name } from '../../schemas/text/names.ts'
import type { Core } from '../core/core.ts'
import type { ActionPorts } from '../operator/action.ts'
import { type BlobCounts, checkBlobFiles } from './blob-rows.ts'
import { createChecks } from './checks.ts'
import { type Finding, type FindingCode, Findings } from './findings.ts'
import { checkHeadless, EntryChecks } from './lists.ts'
import { createMakers } from './makers.ts'
import { asideWrite, ObjectChecks } from './objects.ts'
import type { CredentialCounts } from './people-rows.ts'
import { Sight } from './sight.ts'

export interface VerifyResult {
  /** Rows that were read, by the first word of their keys. */
  readonly rows: Readonly<Record<string, number>>
  readonly signatures: number
  /** `foreign`: those of other domains, whose keys were not asked for. */
  readonly credentials: Readonly<CredentialCounts>
  readonly blobs: BlobCounts
  /** How many there are. */
  readonly findings: number
  readonly codes: Readonly<Partial<Record<FindingCode, number>>>
  /** The first thousand of them. */
  readonly found: readonly Finding[]
}

export type Verified = Pick<Core, 'config' | 'clock' | 'database' | 'store' | 'domains' | 'accounts'>

export interface VerifyOptions {
  /** Takes what mends a finding. */
  readonly onFix?: (fix: Write) => void
  /** Nobody else has the data folder: files may be moved. */
  readonly isRepairing?: boolean
}

const atOnce = 100

/** @throws the reason of the signal */
export async function verifyStore(
  core: Verified,
  { onProgress, signal }: ActionPorts,
  { onFix, isRepairing = false }: VerifyOptions = {},
): Promise<VerifyResult> {
  const { config, database, domains } = core
  await using snapshot = database.snapshot()
  const findings = new Findings(onFix)
  const sight = new Sight(snapshot, findings, createMakers(core))
  const [objects, entries] = [new ObjectChecks(sight), new EntryChecks(sight)]
  const credentials: CredentialCounts = { foreign: 0, ended: 0 }
  const keys = {
    isOwnDomain: (name: string) => domains.has(domainOf(name as Name)),
    find: (domain: string, selector: string) => domains.get(domainOf(domain as Name))?.findVerifier(selector),
  }
  const checks = createChecks(sight, { objects, entries, credentials, keys })
  const counts: Record<string, number> = {}
  const total = await snapshot.count(signal).catch((thrown: unknown) => unread('all keys', thrown))
  let done = 0

  function unread(what: string, thrown: unknown): undefined {
    signal.throwIfAborted()
    if (!(thrown instanceof FmtpError) || thrown.code !== 'FMTP_STORE') throw thrown
    sight.unread.add(what)
    sight.find('store-unreadable', what, thrown.message)
  }

  async function readRange(word: string, range: Range, check: (row: Row) => unknown): Promise<void> {
    try {
      for await (const rows of snapshot.batches(range)) {
        for (const [at, row] of rows.entries()) {
          // A server has others to serve meanwhile.
          if (at % atOnce === 0) await breathe()
          try {
            const checking = check(row)
            if (checking !== undefined) await checking
          } catch (thrown) {
            unread(row[0], thrown)
          }
        }
        signal.throwIfAborted()
        await objects.next()
        counts[word] = (counts[word] ?? 0) + rows.length
        done += rows.length
        onProgress({ what: 'rows', done, ...(total === undefined ? {} : { total }) })
      }
    } catch (thrown) {
      unread(word, thrown)
    }
  }

  const words = Object.keys(checks) as Word[]
  for (const word of words) {
    await readRange(word, rangeOf(word), checks[word])
    if (word === 'entry') entries.end()
  }
  await objects.end()
  await checkHeadless(sight)
  for (const range of unknownRanges(words))
    await readRange('unknown', range, ([key, value]) => {
      sight.find('key-unknown', key, `says ${value.slice(0, 100)}`, asideWrite(key, value))
    })
  for (const name of ['version', 'epoch'])
    if (snapshot.get(keyOf.meta(name)) === undefined)
      sight.find('entry-missing', keyOf.meta(name), 'a store has one')
  const blobs = await checkBlobFiles(sight, {
    folder: join(config.data, 'blobs'),
    get: key => database.get(key),
    signal,
    isRepairing,
    onProgress: files => onProgress({ what: 'blobs', done: files, total: counts.blob ?? 0 }),
  })
  const { count, codes, told } = findings
  return {
    rows: counts,
    signatures: objects.signatures,
    credentials,
    blobs,
    findings: count,
    codes,
    found: told,
  }
}

/** What lies between the keys of the table. */
function unknownRanges(words: readonly Word[]): Range[] {
  const known = words.map(word => rangeOf(word)).sort((left, right) => (left.gt < right.gt ? -1 : 1))
  return [...known, { gt: '\uffff', lt: '' }].map(({ gt }, at) => ({ gt: known[at - 1]?.lt ?? '', lt: gt }))
}
