/**
 * What the disk gives back and was never written (docs/architecture.md): a damaged text of an object is moved out of the
 * way, so that what was written may come again; each is told once.
 */
import { BoundedMap } from '../../wire/bounded-map.ts'
import { type AtRest, findIntact } from './at-rest.ts'
import type { Database } from './engine/database.ts'
import { keyOf } from './layout.ts'

/** Told of a key under which something else stands than was written. */
export type OnDamaged = (key: string) => void

const toldMost = 1000

export class Aside {
  readonly #database: Database
  readonly #onDamaged: OnDamaged
  /** Keys of damaged texts that a write under way moves. */
  readonly #leaving = new Set<string>()
  /** Keys of damaged rows that were told already. */
  readonly #told = new BoundedMap<string, true>(toldMost)

  constructor(database: Database, onDamaged: OnDamaged) {
    this.#database = database
    this.#onDamaged = onDamaged
  }

  /** True for an object that was found damaged: its text is elsewhere, and the rows that name it are here still. */
  has(id: string): boolean {
    const key = keyOf.object(id)
    return this.#leaving.has(key) || this.#database.get(keyOf.damaged(key)) !== undefined
  }

  /** The object of a text; `undefined`: it is damaged, and is put aside behind the caller. */
  findIntact(key: string, text: string): AtRest | undefined {
    const object = findIntact(key, text)
    if (object === undefined && !this.#leaving.has(key)) {
      this.#leaving.add(key)
      this.#move(key, text).then(
        isMoved => {
          this.#leaving.delete(key)
          if (isMoved) this.#onDamaged(key)
        },
        // Who reads it next tries again.
        () => this.#leaving.delete(key),
      )
    }
    return object
  }

  async #move(key: string, text: string): Promise<boolean> {
    const [isMoved] = await this.#database.commit([
      { equals: [[key, text]], puts: [[keyOf.damaged(key), text]], dels: [key] },
    ])
    return isMoved === true
  }

  /** Tells of a row that was passed over. */
  tell(key: string): void {
    if (this.#told.get(key) === true) return
    this.#told.set(key, true)
    this.#onDamaged(key)
  }
}
