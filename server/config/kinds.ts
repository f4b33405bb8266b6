/**
 * The kinds that an operator adds (protocol §6.13): a folder with one JSON Schema for each, read and compiled once at the
 * start. Whatever is wrong in any of the files is told at once.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { parseJson } from '../../schemas/canonical.ts'
import { FmtpError, toFmtpError } from '../../schemas/failures.ts'
import { type CheckedKind, checkOperatorKind } from '../../schemas/operator-kind.ts'
import { coreKinds, createKinds, type Kinds, type OperatorKind } from '../../schemas/parse-object.ts'

const kindsMost = 64
const fileBytes = 64 * 1024
const jsonDepth = 32
const ending = '.json'

/**
 * The kinds of the protocol and those of this folder; files that do not end in `.json` are passed over.
 * @param folder empty: none are added
 * @throws {FmtpError} FMTP_CONFIG, with a line `file: path inside the schema: what is wrong` for each problem
 */
export function loadKinds(folder: string): Kinds {
  if (folder === '') return coreKinds
  const files = listFiles(folder)
  const added: OperatorKind[] = []
  const problems: string[] = []
  for (const file of files) {
    const found = readKind(file)
    problems.push(...found.problems.map(problem => `${file}: ${problem}`))
    if (found.kind !== undefined) added.push(found.kind)
  }
  if (problems.length > 0) throw new FmtpError('FMTP_CONFIG', problems.join('\n'))
  const kinds = createKinds(added)
  for (const { kind } of added) compileNow(kinds, kind, folder)
  return kinds
}

function listFiles(folder: string): string[] {
  let names: string[]
  try {
    names = readdirSync(folder).filter(name => name.endsWith(ending) && !name.startsWith('.'))
  } catch (cause) {
    throw new FmtpError('FMTP_CONFIG', `${folder}: ${reasonOf(cause)}`, { cause })
  }
  if (names.length > kindsMost)
    throw new FmtpError(
      'FMTP_CONFIG',
      `${folder}: expected at most ${kindsMost} kinds, found ${names.length}`,
    )
  return names.sort().map(name => join(folder, name))
}

function readKind(file: string): CheckedKind {
  try {
    const { size } = statSync(file)
    if (size > fileBytes) return refused(`expected at most ${fileBytes} bytes, found ${size}`)
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file))
    return checkOperatorKind(basename(file, ending), parseJson(text, jsonDepth))
  } catch (thrown) {
    return refused(reasonOf(thrown))
  }
}

function refused(problem: string): CheckedKind {
  return { kind: undefined, problems: [problem] }
}

function reasonOf(thrown: unknown): string {
  if (thrown instanceof FmtpError) return `not JSON as objects are (${thrown.message})`
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  return code === 'ENOENT' ? 'no such folder or file' : `can not be read (${code})`
}

/** The first object of a kind must not be what finds a schema that does not compile, nor wait for it. */
function compileNow(kinds: Kinds, kind: string, folder: string): void {
  for (const parse of [() => kinds.parseDraft({ kind }), () => kinds.parseObject({ kind, hash: '' })]) {
    try {
      parse()
    } catch (thrown) {
      const error = toFmtpError(thrown)
      if (error.code === 'FMTP_BAD_OBJECT') continue
      const file = join(folder, `${kind}${ending}`)
      throw new FmtpError('FMTP_CONFIG', `${file}: ${error.message}`, { cause: error })
    }
  }
}
