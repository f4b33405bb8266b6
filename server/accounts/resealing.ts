/**
 * Seals again what a revoked key has sealed (protocol §7.5): the same object with the same digest, under the home key. It
 * works behind everything else, and goes on after a crash where it was: a key in the store stands until all is done.
 */
import type { Clock } from '../../objects/clock.ts'
import { type SealingKey, sealObject, type VerifiedObject } from '../../objects/seals/seal.ts'
import type { Write } from '../../objects/store/engine/write.ts'
import { lastPart, listOf, rangeOf } from '../../objects/store/layout.ts'
import type { Store } from '../../objects/store/store.ts'
import { toFmtpError } from '../../schemas/failures.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { type Name, type ObjectId, ownerOf } from '../../schemas/text/names.ts'
import { readJws } from '../../wire/jws.ts'
import type { Accounts } from './accounts.ts'

export interface ResealingPorts {
  readonly store: Store
  readonly accounts: Accounts
  readonly clock: Clock
  onEvent(event: string, record: Readonly<Record<string, unknown>>): void
}

const pageEntries = 200
const againMs = 60_000

export class Resealing implements AsyncDisposable {
  readonly #ports: ResealingPorts
  readonly #ended = new AbortController()
  #running: Promise<void> = Promise.resolve()
  #woken = new AbortController()

  constructor(ports: ResealingPorts) {
    this.#ports = ports
    this.#ended.signal.addEventListener('abort', () => this.wake())
  }

  /** Begins with what a process before left undone. */
  start(): void {
    this.#running = this.#run()
  }

  /** There is something new to do. */
  wake(): void {
    this.#woken.abort()
  }

  async #run(): Promise<void> {
    const { clock, onEvent } = this.#ports
    while (!this.#ended.signal.aborted) {
      this.#woken = new AbortController()
      try {
        await this.#resealAll()
        if (!this.#ended.signal.aborted) await untilAborted(this.#woken.signal)
      } catch (thrown) {
        const { code, message: reason } = toFmtpError(thrown)
        onEvent('reseal.failed', { code, reason })
        if (!this.#ended.signal.aborted) await clock.sleep(againMs, this.#woken.signal)
      }
    }
  }

  async #resealAll(): Promise<void> {
    const rows = await this.#ports.store.database.scan(rangeOf('resealing'))
    for (const [key, text] of rows) {
      const [, address = ''] = key.split(' ')
      await this.#reseal({ address: address as Name, thumbprint: lastPart(key), key, text })
    }
  }

  /** Goes through the box from the number that the key holds, and moves that with each page. */
  async #reseal({ address, thumbprint, key, text }: Pending): Promise<void> {
    const { store, accounts, onEvent } = this.#ports
    const home = accounts.homeKey(address)
    let at = text
    let count = 0
    for (;;) {
      if (this.#ended.signal.aborted) return
      const page = await store.readList(listOf.box(address), Number(at), pageEntries)
      const ids = page.entries.map(({ id }) => id)
      count += await resealAll(ids, { address, thumbprint, home, store })
      const next = String(page.last)
      const write: Write = page.isComplete ? { dels: [key] } : { puts: [[key, next]], isRelaxed: true }
      // Revoked once more meanwhile: the key is back at 0, and all is read again.
      const [isMoved] = await store.database.commit([{ equals: [[key, at]], ...write }])
      if (isMoved !== true) return this.wake()
      if (page.isComplete) break
      at = next
    }
    // Its own object may have been among them.
    accounts.forget(address)
    onEvent('reseal.done', { address, thumbprint, objects: count })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    await this.#running
  }
}

interface Pending {
  readonly address: Name
  readonly thumbprint: string
  readonly key: string
  /** Number of the last entry of the box that was looked at. */
  readonly text: string
}

interface Task {
  readonly address: Name
  readonly thumbprint: string
  readonly home: SealingKey
  readonly store: Store
}

/** Gives how many were sealed again. One that changed meanwhile is looked at again. */
async function resealAll(ids: readonly string[], task: Task): Promise<number> {
  const { store, address } = task
  let count = 0
  let open = [...new Set(ids)].filter(id => ownerOf(id as ObjectId) === address)
  while (open.length > 0) {
    const sealed = open.flatMap(id => findResealed(id, task) ?? [])
    const results = await store.database.commit(sealed.map(({ write }) => write))
    count += results.filter(isWritten => isWritten).length
    open = sealed.filter((_, at) => results[at] !== true).map(({ verified }) => verified.object.id)
  }
  return count
}

/** Without entries of lists: for all who read them nothing has changed. */
function findResealed(
  id: string,
  { thumbprint, home, store }: Task,
): { readonly verified: VerifiedObject; readonly write: Write } | undefined {
  const before = store.findBefore(id)
  if (before === undefined || readJws(before.object.hash, 'fmtp-hash')?.kid !== thumbprint) return undefined
  const verified = sealObject(before.object as FmtpObject, home)
  return { verified, write: store.objectWrite(verified, before.text) }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
