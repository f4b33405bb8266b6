/**
 * DNS messages as bytes (RFC 1035 §4): what must be known of a message before the codec may see it.
 * The codec follows chains of pointers through the whole message, half a second of a blocked loop for a
 * crafted one, and reports a wrong question as a right one; here both are settled first, cheaply.
 */

export const headBytes = 12
/** What we say in EDNS0 that fits a datagram: never fragmented on today's networks. */
export const datagramBytes = 1232

const mostRecords = 200
const mostJumps = 16

/** Where names stand in the rdata of the types whose names the codec decodes: octets before, and how many. */
const namesInside: ReadonlyMap<number, { readonly after: number; readonly count: number }> = new Map([
  [2, { after: 0, count: 1 }], // NS
  [5, { after: 0, count: 1 }], // CNAME
  [6, { after: 0, count: 2 }], // SOA
  [12, { after: 0, count: 1 }], // PTR
  [15, { after: 2, count: 1 }], // MX
  [33, { after: 6, count: 1 }], // SRV
  [46, { after: 18, count: 1 }], // RRSIG
])

export interface Head {
  readonly id: number
  /** The QR bit: false for a query. */
  readonly isAnswer: boolean
  readonly opcode: number
  /** TC: more does not fit; ask again by TCP. */
  readonly isTruncated: boolean
  /** AD: the resolver says that DNSSEC holds. */
  readonly isAuthentic: boolean
  readonly questions: number
  readonly answers: number
  readonly authorities: number
  readonly additionals: number
}

/** The header; `undefined` when the message is too short for one. */
export function findHead(message: Buffer): Head | undefined {
  if (message.length < headBytes) return undefined
  const high = message.readUInt8(2)
  return {
    id: message.readUInt16BE(0),
    isAnswer: (high & 0x80) !== 0,
    opcode: (high >> 3) & 0x0f,
    isTruncated: (high & 0x02) !== 0,
    isAuthentic: (message.readUInt8(3) & 0x20) !== 0,
    questions: message.readUInt16BE(4),
    answers: message.readUInt16BE(6),
    authorities: message.readUInt16BE(8),
    additionals: message.readUInt16BE(10),
  }
}

/**
 * True if `message` answers `query`: QR, id, opcode, and exactly its one question, the name without regard to
 * case. Compared as octets, because in the codec's text a label with a dot in it looks like two.
 */
export function isAnswerTo(message: Buffer, query: Buffer): boolean {
  const head = findHead(message)
  const asked = findHead(query)
  if (head === undefined || asked === undefined) return false
  if (!head.isAnswer || head.id !== asked.id || head.opcode !== asked.opcode || head.questions !== 1)
    return false
  const end = findQuestionEnd(query)
  if (end === undefined || message.length < end) return false
  const nameEnd = end - 4
  // Lengths of labels are below 64, so lower() touches letters only.
  for (let at = headBytes; at < nameEnd; at++) {
    if (lower(message.readUInt8(at)) !== lower(query.readUInt8(at))) return false
  }
  return message.subarray(nameEnd, end).equals(query.subarray(nameEnd, end))
}

/**
 * True if the codec can decode this message in little time: counts that fit, names of few pointers that all
 * point backwards, records that end inside the message.
 */
export function isHarmless(message: Buffer): boolean {
  const head = findHead(message)
  if (head === undefined) return false
  const records = head.answers + head.authorities + head.additionals
  if (head.questions > 1 || records > mostRecords) return false
  let at: number | undefined = headBytes
  if (head.questions === 1) at = findQuestionEnd(message)
  for (let index = 0; index < records && at !== undefined; index++) at = findRecordEnd(message, at)
  return at !== undefined
}

function findQuestionEnd(message: Buffer): number | undefined {
  const nameEnd = findNameEnd(message, headBytes)
  return nameEnd === undefined || nameEnd + 4 > message.length ? undefined : nameEnd + 4
}

function findRecordEnd(message: Buffer, start: number): number | undefined {
  const fixed = findNameEnd(message, start)
  if (fixed === undefined || fixed + 10 > message.length) return undefined
  const rdata = fixed + 10
  const end = rdata + message.readUInt16BE(fixed + 8)
  if (end > message.length) return undefined
  const names = namesInside.get(message.readUInt16BE(fixed))
  let at: number | undefined = rdata + (names?.after ?? 0)
  for (let index = 0; index < (names?.count ?? 0) && at !== undefined; index++) at = findNameEnd(message, at)
  return at === undefined || at > end ? undefined : end
}

/** The offset behind the name at `start`; `undefined` for a name that no honest encoder writes. */
function findNameEnd(message: Buffer, start: number): number | undefined {
  let at = start
  let end: number | undefined
  let octets = 0
  for (let jumps = 0; jumps <= mostJumps; ) {
    if (at >= message.length) return undefined
    const length = message.readUInt8(at)
    if (length === 0) return end ?? at + 1
    if (length < 0x40) {
      octets += length + 1
      if (octets > 254) return undefined
      at += length + 1
      continue
    }
    if (length < 0xc0 || at + 2 > message.length) return undefined
    const target = message.readUInt16BE(at) & 0x3fff
    if (target >= at || target < headBytes) return undefined
    end ??= at + 2
    at = target
    jumps++
  }
  return undefined
}

function lower(octet: number): number {
  return octet >= 0x41 && octet <= 0x5a ? octet + 0x20 : octet
}
