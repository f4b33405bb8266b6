/**
 * Reads what strace saw of a server: was each acknowledgement written to its socket only after the log of the store,
 * with the object in it, was synced? A kill can not show that, because the kernel keeps what was written.
 */

/** System calls that must be traced, each with the paths of its descriptors (`-y`) and whole strings. */
export const traced = 'write,writev,pwrite64,sendto,sendmsg,fdatasync,fsync'

export interface SyncReport {
  /** Ids in the order of their acknowledgements. */
  readonly acknowledged: readonly string[]
  /** What is wrong, one sentence each. */
  readonly violations: readonly string[]
}

interface Call {
  readonly name: string
  /** Path or socket behind the descriptor. */
  readonly target: string
  /** All arguments as strace prints them. */
  readonly text: string
  readonly startLine: number
  /** Line at which it returned, without an error; Infinity when it never did. */
  endLine: number
}

/** Answers of describes that say `stored`, and the id that each names. */
const answerPattern =
  /\\"verb\\":\\"answer\\"(?:(?!\\"verb\\").)*?\\"outcome\\":\\"stored\\"(?:(?!\\"verb\\").)*?\\"id\\":\\"([^"\\]+)\\"/g

export function readSyncs(trace: string): SyncReport {
  const calls = readCalls(trace)
  const logWrites = calls.filter(({ name, target }) => name.includes('write') && /\/\d+\.log$/.test(target))
  const syncs = calls.filter(({ name }) => name === 'fdatasync' || name === 'fsync')
  const acknowledged: string[] = []
  const violations: string[] = []
  for (const call of calls) {
    if (!/^(?:socket|TCP)/.test(call.target)) continue
    for (const [, id = ''] of call.text.matchAll(answerPattern)) {
      acknowledged.push(id)
      const written = logWrites.find(({ text }) => text.includes(id))
      if (written === undefined || written.endLine > call.startLine) {
        violations.push(`${id}: acknowledged in line ${call.startLine}, not in the log before`)
        continue
      }
      const synced = syncs.find(
        ({ target, startLine, endLine }) =>
          target === written.target && startLine > written.endLine && endLine < call.startLine,
      )
      if (synced === undefined)
        violations.push(
          `${id}: written in line ${written.startLine}, acknowledged in ${call.startLine}, no sync between`,
        )
    }
  }
  return { acknowledged, violations }
}

/**
 * The same of uploads, one after the other: each was answered after its file and then the folder that names it were synced.
 */
export function readUploadSyncs(trace: string): SyncReport {
  const calls = readCalls(trace)
  const syncs = calls.filter(({ name }) => name === 'fsync' || name === 'fdatasync')
  const acknowledged: string[] = []
  const violations: string[] = []
  let before = 0
  for (const { target, text, startLine } of calls) {
    if (!/^(?:socket|TCP)/.test(target) || !/HTTP\/1\.1 20[0-9]/.test(text)) continue
    const told = `answer ${acknowledged.push(text.slice(0, 40))}`
    const since = before
    before = startLine
    const isSynced = (path: RegExp, after: number): number =>
      syncs.find(sync => path.test(sync.target) && sync.startLine > after && sync.endLine < startLine)
        ?.endLine ?? Number.POSITIVE_INFINITY
    const file = isSynced(/\/blobs\/drafts\/[^/]+$/, since)
    if (file === Number.POSITIVE_INFINITY) violations.push(`${told}: its file was not synced`)
    else if (isSynced(/\/blobs\/[^/]{2}$/, file) === Number.POSITIVE_INFINITY)
      violations.push(`${told}: its folder was not synced`)
  }
  return { acknowledged, violations }
}

/** `12 write(3</a/b>, "…", 5) = 5`, or cut in two: `… <unfinished ...>` and `12 <... write resumed>) = 5`. */
function readCalls(trace: string): Call[] {
  const calls: Call[] = []
  const unfinished = new Map<string, Call>()
  for (const [startLine, line] of trace.split('\n').entries()) {
    const [, pid = '', rest = ''] = /^(\d+) +(.*)$/s.exec(line) ?? []
    if (rest.startsWith('<... ')) {
      const call = unfinished.get(pid)
      unfinished.delete(pid)
      if (call !== undefined && isWell(rest)) call.endLine = startLine
      continue
    }
    const [, name, target, text] = /^(\w+)\(\d+<([^>]*)>(.*)$/s.exec(rest) ?? []
    if (name === undefined || target === undefined || text === undefined) continue
    const isCut = text.endsWith('<unfinished ...>')
    const endLine = !isCut && isWell(text) ? startLine : Number.POSITIVE_INFINITY
    const call: Call = { name, target, text, startLine, endLine }
    if (isCut) unfinished.set(pid, call)
    calls.push(call)
  }
  return calls
}

function isWell(text: string): boolean {
  return /\) += \d+$/.test(text)
}
