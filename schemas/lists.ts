/**
 * The lists that may be asked for (protocol §9.4, §10.6), one row for each. What is kept of a list, and what its names look
 * like, is the affair of objects/store/layout.ts; what its readers see, of server/exchange/reading/lists.ts.
 */

/** What holds for a list, whoever asks. Nothing may be left out, so that a new list says all of it. */
export interface AskedListRow {
  /** People read it. Of the others only servers know. */
  readonly isForPeople: boolean
  /** What comes into it is passed on to its user's clients as well (§9.6), but to those who follow it. */
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
