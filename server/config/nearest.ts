/** The word somebody meant: for messages about unknown keys. */

/** The known word that is a slip or two away from `word`; `undefined`: none is near. */
export function findNearest(word: string, known: readonly string[]): string | undefined {
  if (word.length > 64) return undefined
  let nearest: string | undefined
  // A third of the letters may be wrong, so that short words do not all look alike.
  let least = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of known) {
    const slips = countSlips(word.toLowerCase(), candidate.toLowerCase())
    if (slips >= least) continue
    least = slips
    nearest = candidate
  }
  return nearest
}

/** Letters to insert, remove, replace or swap with their neighbour to turn one word into the other. */
function countSlips(from: string, to: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let column = 1; column <= to.length; column++) {
      const isSame = from[row - 1] === to[column - 1]
      const isSwap = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      current.push(
        Math.min(
          at(last, column) + 1,
          at(current, column - 1) + 1,
          at(last, column - 1) + (isSame ? 0 : 1),
          isSwap ? at(beforeLast, column - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      )
    }
    beforeLast = last
    last = current
  }
  return at(last, to.length)
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY
}
