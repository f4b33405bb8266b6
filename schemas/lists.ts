/**
 * The lists that may be asked for (protocol §9.4, §10.6), one row for each. objects/store/layout.ts says how a list is named
 * and kept in the store, server/exchange/reading/lists.ts who may read it and what its readers see.
 */

/** What holds for a list, whoever asks. Nothing may be left out, so that a new list says all of it. */
export interface AskedListRow {
  /** People read it. The other lists are only for servers. */
  readonly isForPeople: boolean
  /** New objects in it are also pushed to its user's clients (§9.6), except to a client that follows the list. */
  readonly isPushed: boolean
}

export const askedLists = {
  public: { isForPeople: true, isPushed: false },
  box: { isForPeople: true, isPushed: true },
  thread: { isForPeople: true, isPushed: false },
  outbox: { isForPeople: false, isPushed: false },
} as const satisfies Readonly<Record<string, AskedListRow>>

/** What `of` of a request may say. */
export type AskedList = keyof typeof askedLists

export const askedListNames = Object.keys(askedLists) as readonly AskedList[]
