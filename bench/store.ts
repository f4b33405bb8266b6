/**
 * The store: verified and durable admits, lists and reads among many objects beside among few, the start of a server that
 * has many, and what an object takes on the disk and in memory.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Level } from 'level'
import { createHints } from '../objects/store/hints.ts'
import { keyOf, listOf } from '../objects/store/layout.ts'
import type { ObjectId } from '../schemas/text/names.ts'
import { openCore } from '../server/core/core.ts'
import { createLists, type RevealList } from '../server/exchange/reading/lists.ts'
import { Command } from '../test/support/fmtp-process.ts'
import type { Inquiry } from '../wire/pairing.ts'
import { Admitting, barePipeline, barePipelineSynced, makeFrames } from './admitting.ts'
import { type Bench, type BenchOptions, type Figure, figure, median } from './figure.ts'
import { author, type Filled, fill, folderBytes, postId } from './filled.ts'

const rounds = 5
const few = 1000
const waitingDomains = 3000
const address = '127.77.22.2'

export const store: Bench = async options => {
  const admits = await measureAdmits(options)
  const folder = mkdtempSync(join(tmpdir(), 'fmtp-bench-store-'))
  try {
    const count = options.objects ?? 1_000_000
    const filling = { address, onProgress: options.onProgress }
    const small = await fill(join(folder, 'few'), few, filling)
    const large = await fill(join(folder, 'many'), count, filling)
    return [
      ...admits,
      ...(await measureLists(small, large)),
      ...(await measureGets(large, count)),
      ...(await measureStarts(small, large, options)),
      ...(await measureWaiting(small, await fill(join(folder, 'waiting'), few, filling))),
      ...measureDisk(large, count),
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measureAdmits({ seconds, onProgress }: BenchOptions): Promise<Figure[]> {
  const each = Math.max(200, Math.round((seconds * 1000) / rounds / 12))
  const counts = { 1: Math.round(each / 4), 8: each, 64: each * 2 } as const
  await using admitting = await Admitting.start()
  await admitting.rate(makeFrames(2 * each), 64)
  const rates = { 1: [] as number[], 8: [] as number[], 64: [] as number[] }
  const bare = { 1: [] as number[], 8: [] as number[], 64: [] as number[] }
  for (let round = 1; round <= rounds; round++) {
    for (const underWay of [1, 8, 64] as const) {
      const texts = makeFrames(counts[underWay])
      bare[underWay].push(underWay === 64 ? barePipeline(texts) : await barePipelineSynced(texts, underWay))
      rates[underWay].push(await admitting.rate(texts, underWay))
    }
    const told = ([1, 8, 64] as const).map(underWay => `${Math.round(rates[underWay].at(-1) ?? 0)}/s`)
    onProgress(`round ${round}: 1, 8, 64 in flight ${told.join(', ')}`)
  }
  return ([1, 8, 64] as const).map(underWay =>
    figure(`admit/rate-${underWay}`, median(rates[underWay]), 'admits/s', median(bare[underWay])),
  )
}

/** The latest 20 of one author, µs, in both stores alternately. */
async function measureLists(small: Filled, large: Filled): Promise<Figure[]> {
  await using one = await openCore(small.config)
  await using other = await openCore(large.config)
  const lists = [one, other].map(
    core =>
      createLists({
        store: core.store,
        hints: createHints(),
        clock: core.clock,
        followMs: 60_000,
        isOwn: () => true,
        findFor: (id: ObjectId) => core.store.findObject(id),
        isOpen: () => true,
        isLeftOut: () => false,
        onFollowFailed: () => undefined,
      }).public,
  )
  const times: [number[], number[]] = [[], []]
  for (let turn = 0; turn < 400; turn++) {
    for (const [at, list] of lists.entries()) times[at]?.push(await readLatest(list))
  }
  // The first of each warm up.
  const [inFew, inMany] = times.map(each => median(each.slice(100)))
  return [figure('list/growth', inMany ?? 0, 'µs', inFew)]
}

async function readLatest(list: RevealList): Promise<number> {
  let count = 0
  const inquiry = {
    request: { verb: 'request', n: 1 },
    describe: () => count++,
    drained: async () => undefined,
  } as unknown as Inquiry
  const startMs = performance.now()
  await list(
    { of: 'public', owner: author, order: 'newest', limit: 20 },
    inquiry,
    { role: 'guest', remote: '' },
    [],
  )
  if (count !== 20) throw new Error(`${count} of 20 were there`)
  return (performance.now() - startMs) * 1000
}

/** Objects by id, in no order, beside the bare store's values of the same keys. */
async function measureGets({ config }: Filled, count: number): Promise<Figure[]> {
  const ids = Array.from({ length: 5000 }, (_, at) => postId((at * 7_919_317) % count))
  const rates: number[] = []
  const raw: number[] = []
  for (let round = 0; round < rounds; round++) {
    {
      await using core = await openCore(config)
      rates.push(perSecond(ids, id => core.store.findObject(id)))
    }
    const level = new Level<string, string>(join(config.data, 'store'))
    await level.open()
    raw.push(perSecond(ids, id => level.getSync(keyOf.object(id))))
    await level.close()
  }
  return [figure('get/rate', median(rates), 'gets/s', median(raw))]
}

function perSecond(ids: readonly string[], get: (id: string) => unknown): number {
  const startMs = performance.now()
  for (const id of ids) if (get(id) === undefined) throw new Error(`${id} is not there`)
  return (ids.length * 1000) / (performance.now() - startMs)
}

/** Start to ready, and memory then, of a server with many objects beside one with few. */
async function measureStarts(small: Filled, large: Filled, { onProgress }: BenchOptions): Promise<Figure[]> {
  const starts: [number[], number[]] = [[], []]
  const memory: [number[], number[]] = [[], []]
  for (let round = 1; round <= rounds; round++) {
    for (const [at, filled] of [small, large].entries()) {
      const { readyMs, memoryMb } = await startOnce(filled)
      starts[at as 0 | 1].push(readyMs)
      memory[at as 0 | 1].push(memoryMb)
    }
    onProgress(`start ${round} of ${rounds}: ${Math.round(starts[1].at(-1) ?? 0)} ms`)
  }
  return [
    figure('idle/start', median(starts[1]), 'ms', median(starts[0])),
    figure('idle/memory', median(memory[1]), 'MB', median(memory[0])),
  ]
}

/** A start while messages wait for many domains, beside one where none do. */
async function measureWaiting(small: Filled, waiting: Filled): Promise<Figure[]> {
  await putOff(waiting, waitingDomains)
  const starts: [number[], number[]] = [[], []]
  for (let round = 1; round <= rounds; round++)
    for (const [at, filled] of [small, waiting].entries())
      starts[at as 0 | 1].push((await startOnce(filled)).readyMs)
  return [figure('idle/start-waiting', median(starts[1]), 'ms', median(starts[0]))]
}

/** A message to each of these domains, of which none could be reached so far. */
async function putOff({ config }: Filled, domains: number): Promise<void> {
  await using core = await openCore(config, {})
  const atMs = Date.now()
  const dueAtMs = atMs + 86_400_000
  const puts = Array.from({ length: domains }, (_, at) => {
    const domain = `d${at}.example`
    const entry = { id: postId(1), version: 1, for: [`lost@${domain}`], atMs }
    const kept = { entry, attempts: 1, firstAtMs: atMs, atMs, dueAtMs, notBeforeMs: dueAtMs }
    return [keyOf.retry(listOf.outbox(domain), dueAtMs, 1), JSON.stringify(kept)] as const
  })
  await core.database.commit([{ puts }])
}

async function startOnce({ folder }: Filled) {
  const startMs = performance.now()
  await using server = new Command({
    folder,
    name: 'server',
    args: ['serve', '--config', join(folder, 'fmtp.conf'), '--user', author],
  })
  await server.logs('"event":"ready"')
  const readyMs = performance.now() - startMs
  // What it allocated to start is given back a moment later.
  await new Promise(resolve => setTimeout(resolve, 2000))
  const [, kib = '0'] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8')) ?? []
  await server.end('SIGTERM')
  rmSync(join(folder, 'server.log'), { force: true })
  return { readyMs, memoryMb: (Number(kib) * 1024) / 1e6 }
}

function measureDisk({ config, objectBytes }: Filled, count: number): Figure[] {
  return [
    figure('disk/object', folderBytes(join(config.data, 'store')) / count, 'bytes', objectBytes / count),
  ]
}
