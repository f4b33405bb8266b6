/**
 * Says whether a regular expression of an operator's schema costs little for any text (protocol §6.13). The engine tries one
 * way after the other, so a pattern is taken only where all the ways together are few for each character of the text.
 */

/** How often one character may be looked at, at most. */
const mostLooks = 250
const mostChars = 1000
/** What `{n,m}` may say. */
const mostRepeats = 1000

/** One piece of an expression at the start of what is left of it. The first that matches counts. */
const pieces = [
  ['class', /^\[\^?(?:[^\\\]]|\\[\s\S])*\]/],
  [
    'escape',
    /^\\(?:[dDwWsStnrfv^$\\.*+?()[\]{}|/-]|u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,6}\}|[pP]\{\w+(?:=\w+)?\})/,
  ],
  ['open', /^\((?!\?)|^\(\?:/],
  ['close', /^\)/],
  ['or', /^\|/],
  ['repeat', /^[*+?]|^\{\d{1,4}(?:,\d{0,4})?\}/],
  ['end', /^\$/],
  ['literal', /^[^\\^$.*+?()[\]{}|]|^\./u],
] as const

type Piece = (typeof pieces)[number][0]

interface Read {
  readonly piece: Piece
  readonly text: string
}

function readPieces(source: string): readonly Read[] | undefined {
  const read: Read[] = []
  for (let rest = source; rest !== ''; ) {
    const found = pieces.find(([, pattern]) => pattern.test(rest))
    const text = found?.[1].exec(rest)?.[0]
    if (found === undefined || text === undefined) return undefined
    read.push({ piece: found[0], text })
    rest = rest.slice(text.length)
  }
  return read
}

/** Least and most of `*`, `+`, `?`, `{n}`, `{n,}`, `{n,m}`; without a bound `Infinity`. */
function repeatsOf(text: string): readonly [least: number, most: number] {
  if (text === '*') return [0, Number.POSITIVE_INFINITY]
  if (text === '+') return [1, Number.POSITIVE_INFINITY]
  if (text === '?') return [0, 1]
  const [least = '0', most] = text.slice(1, -1).split(',')
  if (most === undefined) return [Number(least), Number(least)]
  return [Number(least), most === '' ? Number.POSITIVE_INFINITY : Number(most)]
}

/** Why a pattern is not taken, in words; `undefined`: it is. */
export function findCostly(pattern: string): string | undefined {
  if (pattern.length > mostChars) return `has more than ${mostChars} characters`
  try {
    new RegExp(pattern, 'u')
  } catch {
    return 'is no regular expression'
  }
  if (!pattern.startsWith('^')) return 'must begin with ^'
  const read = readPieces(pattern.slice(1))
  if (read === undefined)
    return 'has something that is not taken: look-around, a back reference, a named group, \\b or the like'
  if (read.at(-1)?.piece !== 'end') return 'must end with $'
  return findMisused(read.slice(0, -1)) ?? findManyWays(read)
}

function findMisused(read: readonly Read[]): string | undefined {
  let depth = 0
  let unbounded = 0
  for (const [at, { piece, text }] of read.entries()) {
    if (piece === 'end') return 'has a $ that is not at its end'
    if (piece === 'open') depth++
    if (piece === 'close') depth--
    if (piece === 'or' && depth === 0) return 'must have its | inside a group'
    if (piece !== 'repeat') continue
    const before = read[at - 1]?.piece
    if (before === 'close') return 'repeats a group'
    if (before === 'repeat') return 'has a repeat of a repeat'
    const [least, most] = repeatsOf(text)
    if (most === Number.POSITIVE_INFINITY) unbounded++
    if (Math.max(least, most === Number.POSITIVE_INFINITY ? 0 : most) > mostRepeats)
      return `repeats more than ${mostRepeats} times`
  }
  return unbounded > 1 ? 'has more than one of * + {n,}' : undefined
}

/**
 * The engine's search is a tree: each repeat of open length and each group with | is a choice, and behind each choice the
 * rest is looked at again. The longest repeat is paid for by the length of the text, all others by `mostLooks`.
 */
function findManyWays(read: readonly Read[]): string | undefined {
  const repeats: number[] = []
  const groups: number[] = []
  let ways = 1
  /** Characters behind a choice that are looked at again with each way. */
  let fixed = 0
  for (const { piece, text } of read) {
    if (piece === 'open') groups.push(1)
    else if (piece === 'or') groups.push((groups.pop() ?? 1) + 1)
    else if (piece === 'close') ways *= groups.pop() ?? 1
    else if (piece === 'repeat') {
      const [least, most] = repeatsOf(text)
      // The piece itself was counted once already.
      fixed += least - 1
      if (most > least) repeats.push(most - least + 1)
    } else if (piece !== 'end') fixed++
  }
  const [, ...others] = repeats.toSorted((left, right) => right - left)
  for (const each of others) ways *= each
  const looks = repeats.length === 0 && ways === 1 ? 1 : ways * (1 + fixed)
  return looks > mostLooks ? 'can be tried in too many ways: take fewer repeats of open length' : undefined
}
