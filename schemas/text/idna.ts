/**
 * International domains to their canonical A-labels (protocol §2.2).
 * The tables of UTS 46 are those of the platform's URL parser, which every browser and Node carry; what parsers
 * are known to be lax about (A-labels made by hand, joiners, the Bidi Rule) is checked here.
 */

import { isBidiSafe } from './bidi.ts'

/**
 * The host that a URL parser makes of `text`: UTS 46, non-transitional, CheckJoiners. `undefined`: it refuses.
 * Give it nothing that has a meaning in URLs: no ASCII but letters, digits, `-` and `.`.
 */
export function findHost(text: string): string | undefined {
  try {
    // Capital sharp s became ß in UTS 46 of Unicode 15.1 and was ss before: one answer for all platforms.
    return new URL(`http://${text.replaceAll('\u1e9e', 'ß')}/`).hostname
  } catch {
    return undefined
  }
}

const digits = 'abcdefghijklmnopqrstuvwxyz0123456789'
const base = 36

/** The bias for the next number of RFC 3492 §6.1. */
function adapt(delta: number, length: number, isFirst: boolean): number {
  let rest = Math.floor(delta / (isFirst ? 700 : 2))
  rest += Math.floor(rest / length)
  let k = 0
  for (; rest > 455; k += base) rest = Math.floor(rest / 35)
  return k + Math.floor((base * rest) / (rest + 38))
}

/** The Unicode text of one lower-case label (RFC 3492 §6.2); `undefined`: its `xn--` is followed by no Punycode. */
function findUnicodeLabel(label: string): string | undefined {
  if (!label.startsWith('xn--')) return label
  const body = label.slice(4)
  const cut = Math.max(body.lastIndexOf('-'), 0)
  const output = [...body.slice(0, cut)]
  let codePoint = 128
  let position = 0
  let bias = 72
  for (let at = cut === 0 ? 0 : cut + 1; at < body.length; ) {
    const before = position
    for (let k = base, weight = 1; ; k += base) {
      const digit = digits.indexOf(body.charAt(at))
      if (at >= body.length || digit < 0) return undefined
      at += 1
      position += digit * weight
      const threshold = Math.min(Math.max(k - bias, 1), 26)
      if (digit < threshold) break
      weight *= base - threshold
    }
    const length = output.length + 1
    bias = adapt(position - before, length, before === 0)
    codePoint += Math.floor(position / length)
    position %= length
    if (codePoint > 0x10ffff) return undefined
    output.splice(position, 0, String.fromCodePoint(codePoint))
    position += 1
  }
  return output.join('')
}

/** What has joining type T: it does not interrupt joining. Marks, and one modifier letter of Adlam. */
const transparent = /^[\p{Mn}\u{1e94b}]$/u

/**
 * CONTEXTJ, RFC 5892 appendix A.1 and A.2: a joiner stands after a virama, a non-joiner there or between two letters that
 * join. JavaScript has neither viramas nor joining types, but the URL parser knows both. It is asked about one
 * joiner between two characters at a time, since parsers are lax about what may stand between them in a longer text.
 */
export function hasLawfulJoiners(text: string): boolean {
  const chars = [...text]
  return chars.every((char, at) => {
    if (char !== '\u200c' && char !== '\u200d') return true
    const before = chars[at - 1]
    if (before === undefined) return false
    if (/^\p{M}$/u.test(before) && findHost(`a${before}\u200da`) !== undefined) return true
    if (char === '\u200d') return false
    const left = chars.slice(0, at).findLast(one => !transparent.test(one))
    const right = chars.slice(at + 1).find(one => !transparent.test(one))
    return left !== undefined && right !== undefined && findHost(`${left}\u200c${right}`) !== undefined
  })
}

/** True when a lower-case LDH domain is what UTS 46 makes of its own Unicode, whose labels obey CONTEXTJ and the Bidi Rule. */
export function hasValidLabels(domain: string): boolean {
  const labels = domain.split('.').map(findUnicodeLabel)
  const known = labels.filter(label => label !== undefined)
  if (known.length < labels.length || findHost(known.join('.')) !== domain) return false
  return known.every(hasLawfulJoiners) && isBidiSafe(known)
}
