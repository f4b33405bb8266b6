/** The config's schema and its formats, and the two kinds of validators of validate.ts. */

import assert from 'node:assert/strict'
import { Ajv2020 } from 'ajv/dist/2020.js'
import Type, { type TSchema } from 'typebox'
import { configSchema } from '../../schemas/config.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { type FormatName, findEndpoint, formats } from '../../schemas/text/formats.ts'
import { checkConfig, compile, formatPath, formatProblem, parseAs } from '../../schemas/validate.ts'
import { parseConfig } from '../support/config.ts'

interface Part {
  readonly type?: string
  readonly enum?: readonly unknown[]
  readonly properties?: Readonly<Record<string, Part>>
  readonly items?: Part
  readonly [key: string]: unknown
}

/** Every schema within a schema, with its path. */
function* walk(part: Part, path: string): Generator<readonly [string, Part]> {
  yield [path, part]
  for (const [name, value] of Object.entries(part.properties ?? {})) yield* walk(value, `${path}.${name}`)
  if (part.items !== undefined) yield* walk(part.items, `${path}[]`)
}

describe('configSchema', () => {
  const parts = [...walk(JSON.parse(JSON.stringify(configSchema)), '')]

  it('is a valid JSON Schema', () => {
    const ajv = new Ajv2020({ strict: true })
    assert.equal(ajv.validateSchema(configSchema), true)
  })

  it('bounds every number, text and list, and closes every table', () => {
    const bounds: Readonly<Record<string, readonly string[]>> = {
      integer: ['minimum', 'maximum'],
      string: ['maxLength'],
      array: ['maxItems'],
      object: ['additionalProperties'],
      boolean: [],
    }
    for (const [path, part] of parts) {
      if (part.enum !== undefined) continue
      for (const bound of bounds[part.type ?? ''] ?? ['type']) assert.ok(bound in part, `${path}: ${bound}`)
      if (part.type === 'object') assert.equal(part.additionalProperties, false, path)
    }
  })

  it('explains every key, and gives each but the domains a default within its bounds', () => {
    for (const [path, part] of parts) {
      if (path === '' || path.endsWith('[]')) continue
      assert.match(String(part.description), /^.{10,}[.\])]$/, path)
      if (!path.startsWith('.domain')) assert.ok(part.default !== undefined, path)
    }
    parseConfig({ domain: [{ name: 'poe.net' }] })
  })
})

describe('parseConfig', () => {
  it('fills in defaults and leaves its argument alone', () => {
    const given = { domain: [{ name: 'poe.net' }], log: { level: 'warn' } }
    const config = parseConfig(given)
    assert.deepEqual(config.log, { level: 'warn', format: 'auto' })
    assert.deepEqual(given, { domain: [{ name: 'poe.net' }], log: { level: 'warn' } })
  })

  it('gives each config lists of its own', () => {
    const given = { domain: [{ name: 'poe.net' }] }
    assert.notEqual(parseConfig(given).listen.tcp, parseConfig(given).listen.tcp)
  })

  it('coerces nothing and tells all problems', () => {
    const given = {
      domain: [{ name: 'poe.net' }],
      http: { behindProxy: 'true', maxConnections: '1' },
      udp: 1,
    }
    assert.deepEqual(checkConfig(given).problems.map(formatProblem), [
      'udp: unknown key; known here: data, kinds, domain, parents, children, listen, http, dns, guard, tls, log, limits, block',
      'http.behindProxy: expected true or false, found "true"',
      'http.maxConnections: expected a whole number, 1 to 1000000, found "1"',
    ])
    assert.throws(
      () => parseConfig(given),
      (error: unknown) => error instanceof FmtpError && error.code === 'FMTP_CONFIG',
    )
  })

  for (const value of [undefined, null, 1, 'x', [], true]) {
    it(`refuses ${JSON.stringify(value)}`, () => {
      assert.throws(() => parseConfig(value), FmtpError)
    })
  }
})

describe('compile', () => {
  const closed = { additionalProperties: false }
  const message = Type.Object(
    {
      text: Type.String({ maxLength: 5, default: 'x' }),
      to: Type.Optional(Type.Array(Type.String({ pattern: '^[a-z]+$', maxLength: 9 }), { maxItems: 2 })),
      size: Type.Optional(Type.Number({ minimum: 0 })),
      kind: Type.Optional(Type.Union([Type.Literal('post'), Type.Literal('mark')])),
      at: Type.Optional(Type.Union([Type.Integer(), Type.String({ maxLength: 3 })])),
      hash: Type.Optional(Type.String({ pattern: '^[0-9a-f]{4}$', maxLength: 4, expected: 'a hash in hex' })),
    },
    closed,
  )
  const validator = compile(message)

  const cases: readonly (readonly [value: unknown, problem: string])[] = [
    [{}, 'text: expected text of at most 5 characters, found nothing'],
    [{ text: 'longer' }, 'text: expected text of at most 5 characters, found "longer"'],
    [{ text: 'a', to: ['alice', 'Bob'] }, 'to[1]: expected text that matches ^[a-z]+$, found "Bob"'],
    [
      { text: 'a', to: {} },
      'to: expected a list of at most 2 entries, each text that matches ^[a-z]+$, found {}',
    ],
    [{ text: 'a', size: -1 }, 'size: expected a number, at least 0, found -1'],
    [{ text: 'a', kind: 'x' }, 'kind: expected one of post, mark, found "x"'],
    [{ text: 'a', at: null }, 'at: expected a whole number or text of at most 3 characters, found null'],
    [{ text: 'a', hash: 'xyz' }, 'hash: expected a hash in hex, found "xyz"'],
    [{ text: 'a', more: 1 }, 'more: unknown key; known here: text, to, size, kind, at, hash'],
    [[], 'expected an object, found a list of 0'],
    [undefined, 'expected an object, found nothing'],
  ]
  for (const [value, expected] of cases) {
    it(`says of ${JSON.stringify(value)}: ${expected}`, () => {
      const before = structuredClone(value)
      assert.equal(validator.is(value), false)
      const problem = validator.findProblem(value)
      assert.equal(problem && formatProblem(problem), expected)
      assert.deepEqual(value, before)
    })
  }

  it('takes what has the shape', () => {
    const value: unknown = { text: 'a', to: ['alice'], kind: 'post', at: 1 }
    assert.equal(validator.findProblem(value), undefined)
    assert.ok(validator.is(value))
    const text: string = value.text
    assert.equal(text, 'a')
  })

  it('gives parseAs its value or the code', () => {
    const value = { text: 'a' }
    assert.equal(parseAs(validator, value, 'FMTP_BAD_FRAME'), value)
    assert.throws(
      () => parseAs(validator, { text: 1 }, 'FMTP_BAD_FRAME'),
      (error: unknown) =>
        error instanceof FmtpError &&
        error.code === 'FMTP_BAD_FRAME' &&
        /^FMTP_BAD_FRAME: text: /.test(error.message),
    )
  })

  it('refuses a schema with a slip, when it is first used', () => {
    const slip: TSchema = { type: 'string', maxLenght: 3 }
    assert.throws(() => compile(slip).is(''), /unknown keyword/)
    assert.throws(() => compile(Type.String({ format: 'nothing' })).is(''), /unknown format/)
  })

  it('cuts what a peer sent in its words', () => {
    const problem = validator.findProblem({ text: 'a', ['\n'.repeat(10_000)]: 1 })
    assert.ok(problem !== undefined && formatProblem(problem).length < 300)
  })

  it('writes paths as people do', () => {
    assert.equal(formatPath(['a', 0, 'b-c', 'd e', 1, 2]), 'a[0].b-c."d e"[1][2]')
    assert.equal(formatPath([]), '')
  })
})

describe('formats', () => {
  const ipv6 = [
    '::',
    '::1',
    '1::',
    'fe80::1:2',
    '1:2:3:4:5:6:7:8',
    '::ffff:10.0.0.1',
    '1:2:3:4:5:6:7::',
    '1:2:3:4:5:6:1.2.3.4',
  ]
  const notIpv6 = [
    '',
    ':',
    ':::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    '12345::',
    'fe80::1%eth0',
    '1.2.3.4::',
    ':1',
    '1:',
    '::1.2.3',
    '1:2:3:4:5:6:7:1.2.3.4',
    '1:2:3:4:5:6:7:8::',
  ]
  const tables: Readonly<Record<FormatName, readonly [good: readonly string[], bad: readonly string[]]>> = {
    address: [['edgar@poe.net'], ['Edgar@poe.net', 'poe.net', '@edgar@poe.net']],
    'a-labels': [
      ['poe.net', 'xn--nxasmq6b.net'],
      ['Poe.net', 'poe.net.', 'edgar@poe.net'],
    ],
    parent: [
      ['poe.net', '*=poe.net', '*.lenore.org=poe.net'],
      ['', '*', 'poe.net=', '=poe.net', 'Poe.net', 'lenore.org = poe.net', 'poe.net=*', '10.0.0.1'],
    ],
    name: [
      ['edgar@poe.net', 'poe.net'],
      ['', 'edgar@', 'edgar#poe.net'],
    ],
    route: [
      [
        '10.0.0.0/8 tcp 10.0.0.5:3687',
        'fd00::/8 wss [fd00::5]:443 7',
        '0.0.0.0/0 tcp mail.poe.net:3687 65535',
        'tales.poe.net=10.0.0.0/8 tcp 10.0.7.5:3687',
        '*.poe.net=fd00::/8 wss tales.poe.net:443 1',
      ],
      [
        '10.0.0.0/8',
        '10.0.0.0/8 tcp 10.0.0.5',
        '10.0.0.0/8 udp 10.0.0.5:3687',
        '10.0.0.0/33 tcp 10.0.0.5:3687',
        '10.0.0.0/8 tcp 10.0.0.5:0',
        '10.0.0.0/8 tcp 10.0.0.5:65536',
        '10.0.0.0/8 tcp Poe.net:3687',
        '10.0.0.0/8 tcp poe.net:3687 65536',
        '=10.0.0.0/8 tcp 10.0.0.5:3687',
        'Poe.net=10.0.0.0/8 tcp 10.0.0.5:3687',
        'a=b=10.0.0.0/8 tcp 10.0.0.5:3687',
        '10.0.0.0/8 tcp poe.net:3687 1 2',
      ],
    ],
    'object-id': [
      ['server.poe.net', '1-a.edgar@poe.net'],
      ['edgar@poe.net.', '.edgar@poe.net'],
    ],
    instant: [
      ['2026-11-20T09:00:00.000Z', '2024-02-29T23:59:59.999Z'],
      [
        '2026-11-20T09:00:00Z',
        '2026-02-31T09:00:00.000Z',
        '2026-11-20T25:00:00.000Z',
        '2026-11-20 09:00:00.000Z',
      ],
    ],
    endpoint: [
      ['127.0.0.1:3687', '0.0.0.0:0', '[::1]:65535', '[::]:80', ...ipv6.map(text => `[${text}]:1`)],
      [
        '',
        '127.0.0.1',
        ':80',
        '::1:80',
        '127.0.0.1:65536',
        '127.0.0.1:080',
        '256.0.0.1:80',
        '01.0.0.1:80',
        '[127.0.0.1]:80',
        'poe.net:80',
        ' 127.0.0.1:80',
        '127.0.0.1:80\n',
        ...notIpv6.map(text => `[${text}]:1`),
      ],
    ],
    'name-server': [
      ['9.9.9.9', '::1', '127.0.0.1:5353', '[::1]:53', ...ipv6],
      ['dns.poe.net', '[::1]', '1.2.3', ...notIpv6],
    ],
    network: [
      ['0.0.0.0/0', '10.0.0.0/8', '1.2.3.4/32', '::/0', 'fd00::/8', '::1/128'],
      [
        '10.0.0.0',
        '10.0.0.0/33',
        '10.0.0.0/08',
        '10.0.0/8',
        '::/129',
        'poe.net/8',
        '/8',
        ...notIpv6.map(text => `${text}/8`),
      ],
    ],
    domain: [
      ['poe.net', 'localhost', 'a.b', 'xn--bcher-kva.example', '1and1.com', `${'a'.repeat(63)}.net`],
      [
        '',
        '.',
        'poe..net',
        '.net',
        'poe.net.',
        'Poe.net',
        '-poe.net',
        'poe-.net',
        'p_e.net',
        'bücher.example',
        '1.2.3.4',
        `${'a'.repeat(64)}.net`,
        `${'a.'.repeat(127)}ab`,
        'poe.net\n',
      ],
    ],
    host: [
      ['chat.poe.net', 'localhost', '192.168.1.5', '::1'],
      ['poe.net:80', '[::1]', 'a b', ''],
    ],
    'domain-pattern': [
      ['*.lenore.org', 'lenore.org', '*', '*spam*'],
      ['', '/x/', 'Lenore.org', 'a b'],
    ],
    'origin-or-empty': [
      ['', 'https://poe.net', 'http://127.0.0.1:8080', 'http://[::1]:8080'],
      [
        'poe.net',
        'https://poe.net/',
        'https://poe.net/x',
        'https://Poe.net',
        'https://poe.net:443',
        'ftp://poe.net',
        'https://',
        'javascript:1',
        'https://a@poe.net',
      ],
    ],
  }
  for (const [name, format] of Object.entries(formats)) {
    it(name, () => {
      const [good, bad] = tables[name as FormatName]
      for (const text of good) assert.equal(format.test(text), true, text)
      for (const text of bad) assert.equal(format.test(text), false, text)
    })
  }

  it('findEndpoint takes the brackets off', () => {
    assert.deepEqual(findEndpoint('[fe80::1]:80'), { address: 'fe80::1', port: 80 })
    assert.deepEqual(findEndpoint('127.0.0.1:0'), { address: '127.0.0.1', port: 0 })
  })
})
