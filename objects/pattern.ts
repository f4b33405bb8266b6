/** Address patterns of the lists (protocol §8.4): literal text and `*`, never a regular expression. */

/**
 * True if `text` is what the pattern describes; `*` stands for any run of characters, also none. Linear in the length
 * of text times the number of `*`, whatever a pattern says.
 */
export function isMatch(pattern: string, text: string): boolean {
  const [first = '', ...pieces] = pattern.toLowerCase().split('*')
  if (pieces.length === 0) return first === text
  if (!text.startsWith(first)) return false
  const last = pieces.pop() ?? ''
  let at = first.length
  for (const piece of pieces) {
    const found = text.indexOf(piece, at)
    if (found === -1) return false
    at = found + piece.length
  }
  return text.length - last.length >= at && text.endsWith(last)
}

/** The first pattern that describes the text. */
export function findMatch(patterns: readonly string[] | undefined, text: string): string | undefined {
  return patterns?.find(pattern => isMatch(pattern, text))
}
