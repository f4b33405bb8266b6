/**
 * The Bidi Rule of RFC 5893 §2, for local parts and for the labels of a domain (protocol §2.2, §2.3).
 * On its own because both need it: URL parsers differ in how much of the rule they apply to domains.
 */

import bidiFactory from 'bidi-js'

const bidi = bidiFactory()

/** The only marks that Unicode gives class L; every other one is NSM, also those younger than the data of bidi-js. */
const leftToRightMarks = /[\u0cbf\u0cc6\u{11a07}\u{11a08}\u{11c3f}]/u
const mark = /\p{Mn}/u

function classOf(char: string): string {
  if (!mark.test(char)) return bidi.getBidiCharTypeName(char)
  return leftToRightMarks.test(char) ? 'L' : 'NSM'
}

const startsRightToLeft: ReadonlySet<string> = new Set(['R', 'AL'])
const makesRightToLeft: ReadonlySet<string> = new Set(['R', 'AL', 'AN'])
const neutral = ['EN', 'ES', 'CS', 'ET', 'ON', 'BN', 'NSM'] as const
const insideRightToLeft: ReadonlySet<string> = new Set(['R', 'AL', 'AN', ...neutral])
const insideLeftToRight: ReadonlySet<string> = new Set(['L', ...neutral])
const endsRightToLeft: ReadonlySet<string> = new Set(['R', 'AL', 'EN', 'AN'])
const endsLeftToRight: ReadonlySet<string> = new Set(['L', 'EN'])

function obeys(classes: readonly string[]): boolean {
  const [first] = classes
  const last = classes.findLast(one => one !== 'NSM')
  if (first === undefined || last === undefined) return false
  if (first === 'L') return classes.every(one => insideLeftToRight.has(one)) && endsLeftToRight.has(last)
  return (
    startsRightToLeft.has(first) &&
    classes.every(one => insideRightToLeft.has(one)) &&
    endsRightToLeft.has(last) &&
    !(classes.includes('EN') && classes.includes('AN'))
  )
}

/** True when `text` has a character of class R, AL or AN. */
function hasRightToLeft(text: string): boolean {
  return [...text].some(char => makesRightToLeft.has(classOf(char)))
}

/** True when no label has a right-to-left character, or every label obeys the Bidi Rule. */
export function isBidiSafe(labels: readonly string[]): boolean {
  return !labels.some(hasRightToLeft) || labels.every(label => obeys([...label].map(classOf)))
}
