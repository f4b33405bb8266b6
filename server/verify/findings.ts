/** What `fmtp verify` finds: a code, the key, one sentence, and the write that mends it where one does. */
import type { Write } from '../../objects/store/engine/write.ts'

/** What each code means; in docs/operations.md stands what an operator does about it. */
export const codes = {
  'store-unreadable': 'LevelDB gives an error instead of rows',
  'row-hidden': 'a scan gives a row, and a read of its key does not',
  'key-unknown': 'no row of this store has such a key',
  'object-damaged': 'a text is not what was sealed, or its seal does not hold',
  'object-aside': 'a damaged row was put aside, and what was written has not come again',
  'credential-missing': 'the key that sealed an object has no credential here',
  'credential-damaged': 'a credential is not what our domain signed, or of another key or owner',
  'account-damaged': 'an account has no readable home key, or no user object',
  'view-missing': 'a user of ours has no view for everyone',
  'device-damaged': 'an enrolled device can not be read, or has another key than it says',
  'entry-missing': 'an index has no row for what is here',
  'entry-wrong': 'a row of an index says something else than what is here',
  'entry-stray': 'an index has a row for what is not here',
  'count-wrong': 'a number or a sum of bytes is not that of what is there',
  'blob-damaged': 'the bytes of a blob are not those of its name',
  'blob-missing': 'a blob has no file',
} as const

export type FindingCode = keyof typeof codes

export interface Finding {
  readonly code: FindingCode
  readonly key: string
  readonly told: string
}

const toldMost = 1000

/** Counts all findings, keeps the first thousand, and hands on what mends them. */
export class Findings {
  readonly #told: Finding[] = []
  readonly #codes = new Map<FindingCode, number>()
  readonly #onFix: (fix: Write) => void
  #count = 0

  constructor(onFix: (fix: Write) => void = () => undefined) {
    this.#onFix = onFix
  }

  add(finding: Finding, fix?: Write): void {
    this.#count++
    this.#codes.set(finding.code, (this.#codes.get(finding.code) ?? 0) + 1)
    if (this.#told.length < toldMost) this.#told.push(finding)
    if (fix !== undefined) this.#onFix(fix)
  }

  get count(): number {
    return this.#count
  }

  get told(): readonly Finding[] {
    return this.#told
  }

  /** How many of each code. */
  get codes(): Readonly<Partial<Record<FindingCode, number>>> {
    return Object.fromEntries(this.#codes)
  }
}
