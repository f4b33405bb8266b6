import assert from 'node:assert/strict'
import fc from 'fast-check'
import { FmtpError } from '../../schemas/failures.ts'
import { decodeFrame, encodeFrame, LineReader } from '../../wire/codec.ts'

const limitBytes = 64

/** Everything the reader gives for these chunks, up to the first error. */
function readAll(chunks: readonly Uint8Array[]): { lines: string[]; code: string | undefined } {
  const reader = new LineReader(limitBytes)
  const lines: string[] = []
  for (const chunk of chunks) {
    const read = reader.push(chunk)
    lines.push(...read.lines)
    if (read.error !== undefined) return { lines, code: read.error.code }
  }
  return { lines, code: undefined }
}

/** The bytes in pieces that end at these places. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [...new Set(places.map(place => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [...ends, bytes.length].map((end, at) => bytes.subarray(ends[at - 1] ?? 0, end))
}

const encoder = new TextEncoder()

describe('LineReader', () => {
  const inputs: readonly (readonly [chunks: readonly string[], lines: readonly string[], code?: string])[] = [
    [['a\n'], ['a']],
    [['a'], []],
    [['a', 'b', '\n'], ['ab']],
    [['a\nb\nc\n'], ['a', 'b', 'c']],
    [['a\n\n\r\nb\n'], ['a', 'b']],
    [['é'.repeat(32), '\n'], ['é'.repeat(32)]],
    [['x'.repeat(64), '\n'], ['x'.repeat(64)]],
    [[`a\n${'x'.repeat(65)}\nb\n`], ['a'], 'FMTP_FRAME_TOO_LARGE'],
    [['x'.repeat(40), 'x'.repeat(40)], [], 'FMTP_FRAME_TOO_LARGE'],
    [['\ufeffa\n'], ['\ufeffa']],
  ]
  for (const [chunks, lines, code] of inputs) {
    it(`reads ${JSON.stringify(chunks).slice(0, 60)}`, () => {
      assert.deepEqual(readAll(chunks.map(chunk => encoder.encode(chunk))), { lines, code })
    })
  }

  it('gives the lines before bytes that are not UTF-8', () => {
    assert.deepEqual(readAll([Buffer.from([97, 10, 0xff, 10, 98, 10])]), {
      lines: ['a'],
      code: 'FMTP_NOT_JSON',
    })
  })

  it('keeps a limit that was raised in the middle of a line', () => {
    const reader = new LineReader(4)
    assert.deepEqual(reader.push(encoder.encode('abc')).lines, [])
    reader.setLimit(8)
    assert.deepEqual(reader.push(encoder.encode('def\n')).lines, ['abcdef'])
  })

  it('does not keep the memory of a chunk, which the socket uses again', () => {
    const reader = new LineReader(limitBytes)
    const chunk = encoder.encode('abc')
    reader.push(chunk)
    chunk.fill(120)
    assert.deepEqual(reader.push(encoder.encode('\n')).lines, ['abc'])
  })

  it('reads the same lines however the bytes are cut', () => {
    const line = fc.string({ unit: 'grapheme', maxLength: 12 }).map(text => text.replaceAll('\n', ''))
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 8 }), (texts, places) => {
        const bytes = encoder.encode(texts.map(text => `${text}\n`).join(''))
        assert.deepEqual(readAll(cut(bytes, places)), readAll([bytes]))
      }),
    )
  })

  it('of no bytes throws, whatever they are and however they are cut', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.array(fc.nat(), { maxLength: 8 }),
        (bytes, places) => {
          const { code } = readAll(cut(bytes, places))
          assert.ok(code === undefined || code === 'FMTP_FRAME_TOO_LARGE' || code === 'FMTP_NOT_JSON')
        },
      ),
    )
  })
})

describe('decodeFrame', () => {
  it('of any text is a frame or an FmtpError', () => {
    const almost = fc
      .tuple(fc.constantFrom('hello', 'describe', 'request', 'answer', 'goodbye', 'x'), fc.jsonValue())
      .map(([verb, more]) => JSON.stringify({ verb, n: 1, re: 1, object: more, list: more, for: more }))
    const cutShort = fc.tuple(almost, fc.nat()).map(([text, at]) => text.slice(0, at % (text.length + 1)))
    fc.assert(
      fc.property(fc.oneof(almost, cutShort, fc.json(), fc.string({ unit: 'binary' })), text => {
        try {
          assert.equal(typeof decodeFrame(text).verb, 'string')
        } catch (error) {
          assert.ok(error instanceof FmtpError && error.code !== 'FMTP_INTERNAL', String(error))
        }
      }),
      { numRuns: 300 },
    )
  })

  it('gives back what encodeFrame wrote, on one line', () => {
    const frame = { verb: 'describe', n: 3, object: { body: 'a\nb\r\u2028', id: '1.edgar@poe.net' } } as const
    const text = encodeFrame(frame)
    assert.ok(!text.includes('\n'))
    assert.deepEqual(decodeFrame(text), frame)
  })

  it('takes an object of 32 levels and none of 33', () => {
    const frame = (levels: number): string =>
      `{"verb":"describe","n":1,"object":${'{"a":'.repeat(levels - 1)}{}${'}'.repeat(levels - 1)}}`
    assert.equal(decodeFrame(frame(32)).verb, 'describe')
    assert.throws(() => decodeFrame(frame(33)), { code: 'FMTP_TOO_DEEP' })
  })
})
