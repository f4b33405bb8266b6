/**
 * `fmtp verify --repair`: makes indexes anew from objects and boxes, and puts aside what is damaged. It has the data folder
 * alone: a running server remembers heads and ends of lists, and would go on with those.
 */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isDamaged, isLocked, rebuildStore } from '../../objects/store/engine/leveldb.ts'
import type { Write } from '../../objects/store/engine/write.ts'
import { keyOf } from '../../objects/store/layout.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { type Core, openCore } from '../core/core.ts'
import type { ActionPorts } from '../operator/action.ts'
import { type VerifyResult, verifyStore } from './verify.ts'

export interface RepairResult extends VerifyResult {
  /** What was found before, by code: how often. */
  readonly before: VerifyResult['codes']
  /** Writes that were made. */
  readonly mended: number
  /** LevelDB made the store anew from what it could read of its files. */
  readonly isRebuilt: boolean
  /** Clients read their lists from the start. */
  readonly isNewEpoch: boolean
}

/** What is made again may show what else is missing. */
const roundsMost = 8
const writesAtOnce = 500
const laterMost = 100_000

/** @throws {FmtpError} FMTP_NOT_FOUND without a store, FMTP_STORE where a process has it; the reason of the signal */
export async function repair(configFile: string, ports: ActionPorts): Promise<RepairResult> {
  const config = loadConfig(configFile)
  if (!existsSync(join(config.data, 'store')))
    throw new FmtpError('FMTP_NOT_FOUND', `there is no store in ${config.data}`)
  let isRebuilt = false
  let before: VerifyResult['codes'] | undefined
  let mended = 0
  let isNewEpoch = false
  for (let round = 1; ; round++) {
    // Opened anew each time, so that nothing is remembered of what was mended.
    const mending = await mendOnce(config, ports, isRebuilt)
    if (mending === 'unopened') {
      await rebuildStore(config.data)
      isRebuilt = isNewEpoch = true
      continue
    }
    const { result, writes, hasMovedHeads } = mending
    before ??= result.codes
    mended += writes
    isNewEpoch ||= hasMovedHeads
    const isUnread = result.codes['store-unreadable'] !== undefined
    if (isUnread && !isRebuilt) {
      await rebuildStore(config.data)
      isRebuilt = isNewEpoch = true
    } else if (writes === 0 || round === roundsMost) {
      if (isNewEpoch) await renewEpoch(config)
      return { ...result, before, mended, isRebuilt, isNewEpoch }
    }
  }
}

/** `undefined` where only LevelDB can make a store that can be opened. */
async function findCore(config: LoadedConfig, isRebuilt: boolean): Promise<Core | undefined> {
  try {
    return await openCore(config)
  } catch (thrown) {
    if (isLocked(thrown))
      throw new FmtpError(
        'FMTP_STORE',
        `a process has ${config.data}. A running server remembers what would be mended: stop it first`,
      )
    // Of another version, or of a disk that fails, nothing may be touched.
    if (isRebuilt || !isDamaged(thrown)) throw thrown
    return undefined
  }
}

interface Round {
  readonly result: VerifyResult
  readonly writes: number
  /** A list had given other numbers than its head says: some cursor may be ahead of it. */
  readonly hasMovedHeads: boolean
}

async function mendOnce(
  config: LoadedConfig,
  ports: ActionPorts,
  isRebuilt: boolean,
): Promise<Round | 'unopened'> {
  const found = await findCore(config, isRebuilt)
  if (found === undefined) return 'unopened'
  await using core = found
  try {
    return await mendIn(core, ports)
  } catch (thrown) {
    // What LevelDB can not read it does not write to either.
    if (isRebuilt || !isDamaged(thrown)) throw thrown
    return 'unopened'
  }
}

async function mendIn(core: Core, ports: ActionPorts): Promise<Round> {
  let fixes: Write[] = []
  const later: Write[] = []
  let writes = 0
  let hasMovedHeads = false
  let last: Promise<void> = Promise.resolve()

  function flush(): void {
    const taken = fixes
    fixes = []
    last = last.then(async () => {
      const results = await core.database.commit(taken)
      writes += results.filter(isWritten => isWritten).length
    })
    // Waited for at the end.
    last.catch(() => undefined)
  }

  const onFix = (fix: Write): void => {
    // An entry takes the next number of its list, which must be right first.
    if (fix.appends === undefined) fixes.push(fix)
    else if (later.length < laterMost) later.push(fix)
    const heads = (fix.puts ?? []).filter(([key]) => key.startsWith('head '))
    hasMovedHeads ||= heads.some(([key, text]) => !isSameNumber(core.database.get(key), text))
    if (fixes.length >= writesAtOnce) flush()
  }
  const result = await verifyStore(core, ports, { onFix, isRepairing: true })
  const hasHeads = result.codes['count-wrong'] !== undefined
  if (!hasHeads || (fixes.length === 0 && writes === 0)) fixes.push(...later)
  flush()
  await last
  // Files were put aside, and what they leave behind is looked at again.
  writes += result.codes['blob-damaged'] ?? 0
  return { result, writes, hasMovedHeads }
}

function isSameNumber(before: string | undefined, after: string): boolean {
  return before !== undefined && before.split(' ')[0] === after.split(' ')[0]
}

async function renewEpoch(config: LoadedConfig): Promise<void> {
  await using core: Core = await openCore(config)
  await core.database.commit([{ puts: [[keyOf.meta('epoch'), randomBytes(4).toString('hex')]] }])
}
