/**
 * Local parts outside ASCII: PRECIS UsernameCaseMapped, RFC 8265 §3.3 on the IdentifierClass of RFC 8264
 * (protocol §2.3). Characters are of the Unicode version of the platform; ASCII never comes here.
 */

import { FmtpError } from '../failures.ts'
import { limits } from '../limits.ts'
import { isBidiSafe } from './bidi.ts'
import { hasLawfulJoiners } from './idna.ts'

const wide = /[\u3000\uff01-\uffee]/g

const letterDigits = /^[\p{Ll}\p{Lu}\p{Lo}\p{Lm}\p{Mn}\p{Mc}\p{Nd}]$/u
const ignorable = /^[\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}]$/u
const oldHangulJamo = /^[\u1100-\u11ff\ua960-\ua97c\ud7b0-\ud7c6\ud7cb-\ud7fb]$/
/** RFC 5892 §2.6, three lists: valid, valid where a context rule says so (with the joiners of §2.8), and never valid. */
const validByException = /^[\u00df\u03c2\u06fd\u06fe\u0f0b\u3007]$/
const contextual = /^(?:[\u00b7\u0375\u05f3\u05f4\u30fb\u0660-\u0669\u06f0-\u06f9]|\u200c|\u200d)$/
const neverValid = /^(?:[\u0640\u07fa\u3031-\u3035\u303b]|\u302e|\u302f)$/

/** The order of the questions is that of RFC 8264 §8: the first that holds decides. */
function isIdentifierChar(char: string): boolean {
  if (validByException.test(char) || contextual.test(char)) return true
  if (neverValid.test(char)) return false
  if (char < '\u0080') return /^[A-Za-z0-9._-]$/.test(char)
  if (oldHangulJamo.test(char) || ignorable.test(char)) return false
  return char.normalize('NFKC') === char && letterDigits.test(char)
}

function requireIdentifierChars(text: string): void {
  for (const char of text) {
    if (isIdentifierChar(char)) continue
    const hex = char.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')
    throw new FmtpError('FMTP_BAD_NAME', `U+${hex} is not allowed before the @`)
  }
}

/**
 * CONTEXTO, RFC 5892 appendix A.3 to A.9, each as the text that breaks it. A middle dot stands between two l, keraia
 * before Greek, geresh and gershayim after Hebrew, a katakana middle dot beside some kana or Han in the text.
 */
const brokenContexts: readonly RegExp[] = [
  /(?<!l)\u00b7|\u00b7(?!l)/,
  /\u0375(?!\p{Script=Greek})/u,
  /(?<!\p{Script=Hebrew})[\u05f3\u05f4]/u,
  /^[^\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]*\u30fb[^\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]*$/u,
  /[\u0660-\u0669].*[\u06f0-\u06f9]|[\u06f0-\u06f9].*[\u0660-\u0669]/u,
]

function mapOnce(text: string): string {
  // Inside this block NFKC is the <wide> or <narrow> mapping, but for Hangul fillers, jamo and the macron: refused both ways.
  const prepared = text.replace(wide, char => char.normalize('NFKC'))
  requireIdentifierChars(prepared)
  const mapped = prepared.toLowerCase().normalize('NFC')
  requireIdentifierChars(mapped)
  return mapped
}

/**
 * The canonical text of a local part, but for its bytes and separators, which the caller checks.
 * @throws {FmtpError} FMTP_BAD_NAME
 */
export function enforceUsername(text: string): string {
  const username = mapOnce(text)
  // Never more UTF-16 code units than bytes: what is too long anyway does not reach the dearer checks.
  if (username.length > limits.localBytes) throw new FmtpError('FMTP_BAD_NAME', 'too long before the @')
  if (mapOnce(username) !== username) {
    throw new FmtpError('FMTP_BAD_NAME', 'mapping the local part twice gives another text')
  }
  // A mark belongs to a letter or digit; on a separator it would change how the address is read.
  if (/^\p{M}|[._-]\p{M}/u.test(username)) {
    throw new FmtpError('FMTP_BAD_NAME', 'a mark without its letter')
  }
  if (brokenContexts.some(broken => broken.test(username))) {
    throw new FmtpError('FMTP_BAD_NAME', 'a character outside the context it is allowed in')
  }
  if (!isBidiSafe([username])) throw new FmtpError('FMTP_BAD_NAME', 'the local part breaks the Bidi Rule')
  if (!hasLawfulJoiners(username)) throw new FmtpError('FMTP_BAD_NAME', 'a joiner where nothing joins')
  return username
}
