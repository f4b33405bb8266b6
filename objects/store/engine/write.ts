/** What one commit of the store is made of (docs/architecture.md): writes with their conditions, and what lists are after it. */
import type { ListName } from '../layout.ts'

/** All or nothing: when a condition fails, nothing of it is written. Later writes of a group see earlier ones. */
export interface Write {
  /** Keys that must not exist. */
  readonly absent?: readonly string[]
  /** Keys that must have this value. */
  readonly equals?: readonly (readonly [key: string, value: string])[]
  readonly puts?: readonly (readonly [key: string, value: string])[]
  readonly dels?: readonly string[]
  /** Entries that take the next numbers of their lists. */
  readonly appends?: readonly Append[]
  /** Bytes that lists have more or less, without a new entry. */
  readonly adjusts?: readonly Adjust[]
  /** May be lost in a crash: does not cause a sync by itself, but rides along with one. */
  readonly isRelaxed?: boolean
}

export interface Append {
  readonly list: ListName
  readonly value: string
  /** What the entry adds to the bytes of its list, for quotas. */
  readonly bytes: number
  /** A key whose value is made from the number that the entry takes. */
  readonly record?: { readonly key: string; readonly valueAt: (number: number) => string }
}

export interface Adjust {
  readonly list: ListName
  readonly bytes: number
}

export interface Head {
  /** Number of the last entry that was made, 0 in a new list. */
  readonly number: number
  /** Of the entries that are there. */
  readonly bytes: number
}

/** One entry of a list. */
export interface Entry {
  readonly number: number
  readonly value: string
}
