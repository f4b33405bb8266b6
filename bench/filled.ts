/** Data folders with as many public posts as it takes, written by the store's own code, for measurements of what grows. */
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../objects/clock.ts'
import { sealObject } from '../objects/seals/seal.ts'
import { box } from '../objects/store/box.ts'
import type { Write } from '../objects/store/engine/write.ts'
import { describe } from '../objects/store/new-version.ts'
import type { Unsealed } from '../schemas/object.ts'
import { parseAddress } from '../schemas/text/names.ts'
import { islandConfig, type LoadedConfig, loadConfig } from '../server/config/load.ts'
import { type Core, openCore } from '../server/core/core.ts'

export const author = parseAddress('edgar@localhost')
const inGroup = 500
/** Old enough that no post is in the future, and one made in each ms. */
const startMs = Date.UTC(2026, 0, 1)

export interface Filled {
  readonly folder: string
  readonly config: LoadedConfig
  /** Characters of all texts at rest. */
  readonly objectBytes: number
}

/** A config and data of its own in `folder`. */
export function writeConfig(folder: string, address: string): LoadedConfig {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, 'fmtp.conf')
  const config = islandConfig('localhost').replaceAll('127.0.0.1', address).replaceAll(/:\d+"/g, ':0"')
  writeFileSync(file, config.replace('data = "data"', `data = "${join(folder, 'data')}"`))
  return loadConfig(file)
}

export function postId(at: number): string {
  return `${startMs + at}-${String(at).padStart(12, '0')}.${author}`
}

/** About 1 KB at rest with its seal, of words that compress as people's do. */
function post(at: number): Unsealed {
  const atMs = startMs + at
  return {
    body: words(at, 520),
    createdAt: new Date(atMs).toISOString(),
    format: 'text/plain',
    id: postId(at),
    kind: 'post',
    owner: author,
    public: true,
    title: words(at + 7, 30),
    version: atMs,
  } as Unsealed
}

const vocabulary =
  'once upon a midnight dreary while I pondered weak and weary over many quaint curious volumes of forgotten lore nodded nearly napping suddenly there came tapping as some one gently rapping at my chamber door'.split(
    ' ',
  )

function words(seed: number, chars: number): string {
  let text = ''
  for (let state = seed + 1; text.length < chars; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    text += `${vocabulary[state % vocabulary.length]}${state % 97} `
  }
  return text.slice(0, chars).trimEnd()
}

export async function fill(
  folder: string,
  count: number,
  options: { readonly address: string; onProgress(told: string): void },
): Promise<Filled> {
  const config = writeConfig(folder, options.address)
  // The home key must be older than what it seals.
  const clock = { ...systemClock, now: () => startMs, sleep: async () => undefined }
  await using core = await openCore(config, { clock })
  await core.accounts.create(author)
  let objectBytes = 0
  for (let at = 0; at < count; ) {
    const writes: Write[] = []
    for (; writes.length < inGroup && at < count; at++) {
      const { write, bytes } = postWrite(core, at)
      writes.push(write)
      objectBytes += bytes
    }
    const results = await core.database.commit(writes)
    if (!results.every(isWritten => isWritten)) throw new Error('a post was not written')
    if (at % 50_000 === 0) options.onProgress(`${at} of ${count} posts written`)
  }
  return { folder, config, objectBytes }
}

function postWrite({ store, accounts, database }: Core, at: number) {
  const verified = sealObject(post(at), accounts.homeKey(author))
  const write = describe(verified, undefined, 'made', store)
  box(write, verified.object, { address: author, bytes: 0, nowMs: startMs + at, boxed: undefined }, database)
  return { write, bytes: verified.atRest.length }
}

/** Bytes of all files below a folder. */
export function folderBytes(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(folder, entry.name)
    return sum + (entry.isDirectory() ? folderBytes(path) : statSync(path).size)
  }, 0)
}
