/** fmtp.conf as an operator meets it: what each mistake is answered with, defaults, paths, the example file. */

import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import fc from 'fast-check'
import { parse, stringify } from 'smol-toml'
import { configSchema } from '../../../schemas/config.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import { limits } from '../../../schemas/limits.ts'
import { exampleConfig } from '../../../server/config/example.ts'
import { islandConfig, type LoadedConfig, loadConfig } from '../../../server/config/load.ts'
import { findNearest } from '../../../server/config/nearest.ts'
import { readSyntax } from '../../../server/config/syntax.ts'

const poe = '[[domain]]\nname = "poe.net"\n'

/** A text, and every line of the error that it loads with. */
const mistakes: readonly (readonly [name: string, text: string, lines: readonly string[]])[] = [
  [
    'an unknown key',
    `${poe}[listen]\ntpc = []`,
    ['4: listen.tpc: unknown key; known here: tcp, http, udp, hosts, contacts; did you mean tcp?'],
  ],
  [
    'an unknown key far from all',
    `${poe}[tls]\nverification = false`,
    ['4: tls.verification: unknown key; known here: ca'],
  ],
  [
    'an unknown table',
    `${poe}\n[gaurd]\nallow = []`,
    [
      '4: gaurd: unknown key; known here: data, kinds, domain, parents, children, listen, http, dns, guard, tls, log, limits, block; did you mean guard?',
    ],
  ],
  [
    'an unknown key of a domain',
    `${poe}[[domain]]\nname = "lenore.org"\nnames = 1`,
    ['5: domain[1].names: unknown key; known here: name; did you mean name?'],
  ],
  [
    'an unknown dotted key',
    `listen.htpp = []\n${poe}`,
    ['1: listen.htpp: unknown key; known here: tcp, http, udp, hosts, contacts; did you mean http?'],
  ],
  [
    'an unknown key in an inline table',
    `log = {\n  levle = "info" }\n${poe}`,
    ['2: log.levle: unknown key; known here: level, format; did you mean level?'],
  ],
  [
    'an unknown quoted key',
    `"d.a\\u0074a" = ""\n${poe}`,
    [
      '1: "d.ata": unknown key; known here: data, kinds, domain, parents, children, listen, http, dns, guard, tls, log, limits, block; did you mean data?',
    ],
  ],
  [
    'a text for a boolean',
    `${poe}[http]\nbehindProxy = "yes"`,
    ['4: http.behindProxy: expected true or false, found "yes"'],
  ],
  [
    'a text for a number',
    `${poe}[limits]\n\nrecipients = "many"`,
    ['5: limits.recipients: expected a whole number, 1 to 100000, found "many"'],
  ],
  ['a fraction', `${poe}limits.recipients = 1.5`, ['3: domain[0].limits: unknown key; known here: name']],
  [
    'half a recipient',
    `limits.recipients = 1.5\n${poe}`,
    ['1: limits.recipients: expected a whole number, 1 to 100000, found 1.5'],
  ],
  [
    'a number too small',
    `limits.recipients = 0\n${poe}`,
    ['1: limits.recipients: expected a whole number, 1 to 100000, found 0'],
  ],
  [
    'a number too large',
    `http.maxConnections = 1_000_001\n${poe}`,
    ['1: http.maxConnections: expected a whole number, 1 to 1000000, found 1000001'],
  ],
  [
    'not a number',
    `limits.recipients = nan\n${poe}`,
    ['1: limits.recipients: expected a whole number, 1 to 100000, found NaN'],
  ],
  [
    'a word that is no choice',
    `log.level = "loud"\n${poe}`,
    ['1: log.level: expected one of trace, debug, info, warn, error, found "loud"'],
  ],
  ['a value for a table', `listen = 3687\n${poe}`, ['1: listen: expected a table, found 3687']],
  [
    'a table for a value',
    `${poe}[data]\nfolder = "x"`,
    ['3: data: expected text of 1 to 4096 characters, found { folder }'],
  ],
  [
    'a text for a list',
    `listen.hosts = "chat.poe.net"\n${poe}`,
    [
      '1: listen.hosts: expected a list of at most 1000 entries, each a host name in lower case, like chat.poe.net, or an address without port, found "chat.poe.net"',
    ],
  ],
  ['an empty folder', `data = ""\n${poe}`, ['1: data: expected text of 1 to 4096 characters, found ""']],
  [
    'too long a text',
    `tls.ca = "${'x'.repeat(4097)}"\n${poe}`,
    [`1: tls.ca: expected text of at most 4096 characters, found "${'x'.repeat(60)}…"`],
  ],
  [
    'too long a list',
    `dns.servers = [${'"::1",'.repeat(9)}]\n${poe}`,
    [
      '1: dns.servers: expected a list of at most 8 entries, each the address of a name server, like 9.9.9.9, ::1 or 127.0.0.1:5353, found a list of 9',
    ],
  ],
  [
    'no domain',
    'data = "data"',
    [' domain: expected 1 to 1000 tables [[domain]], each with a name, found nothing'],
  ],
  ['an empty file', '', [' domain: expected 1 to 1000 tables [[domain]], each with a name, found nothing']],
  [
    'one domain where a list is',
    '[domain]\nname = "poe.net"',
    ['1: domain: expected 1 to 1000 tables [[domain]], each with a name, found { name }'],
  ],
  [
    'a domain without a name',
    `${poe}\n[[domain]]`,
    ['4: domain[1].name: expected a domain name in lower case, like poe.net, found nothing'],
  ],
  [
    'a bad domain',
    '[[domain]]\nname = "Poe.net"',
    ['2: domain[0].name: expected a domain name in lower case, like poe.net, found "Poe.net"'],
  ],
  [
    'a bad pattern',
    `${poe}[block]\ndomains = ["*.lenore.org", "/spam/"]`,
    [
      '4: block.domains[1]: expected a domain name in lower case with * for any part, like *.lenore.org, found "/spam/"',
    ],
  ],
  [
    'a bad address',
    `${poe}[listen]\ntcp = [\n  # all of them\n  "[::1]:3687",\n  "localhost:3687",\n]`,
    [
      '7: listen.tcp[1]: expected an address and port, like 127.0.0.1:3687 or [::1]:3687, found "localhost:3687"',
    ],
  ],
  [
    'a bad name server',
    `dns.servers = ["dns.poe.net"]\n${poe}`,
    [
      '1: dns.servers[0]: expected the address of a name server, like 9.9.9.9, ::1 or 127.0.0.1:5353, found "dns.poe.net"',
    ],
  ],
  [
    'a bad network',
    `guard.allow = ["10.0.0.0/33"]\nlimits.exempt = ["10.0.0.1"]\n${poe}`,
    [
      '1: guard.allow[0]: expected a network, like 10.0.0.0/8 or fd00::/8, found "10.0.0.0/33"',
      '2: limits.exempt[0]: expected a network, like 10.0.0.0/8 or fd00::/8, found "10.0.0.1"',
    ],
  ],
  [
    'a bad origin',
    `http.originUrl = "https://poe.net/"\n${poe}`,
    [
      '1: http.originUrl: expected empty, or an origin like https://poe.net, without path, slash at the end or default port, found "https://poe.net/"',
    ],
  ],
  [
    'several at once, by line',
    `nothing = 1\n${poe}[log]\nformat = "xml"\nlevel = 3`,
    [
      '1: nothing: unknown key; known here: data, kinds, domain, parents, children, listen, http, dns, guard, tls, log, limits, block',
      '5: log.format: expected one of auto, json, pretty, found "xml"',
      '6: log.level: expected one of trace, debug, info, warn, error, found 3',
    ],
  ],

  [
    'a domain twice',
    `${poe}${poe}[[domain]]\nname = "lenore.org"`,
    ['4: domain[1].name: poe.net is already domain[0]'],
  ],
  [
    'a parent that is its own domain, and one that is none',
    `parents = ["lenore.org", "*.lenore.org=poe.net"]\n${poe}`,
    ['1: parents[1]: poe.net is a domain of this server'],
  ],
  [
    'a parent without a name',
    `parents = ["*.lenore.org="]\n${poe}`,
    [
      '1: parents[0]: expected a domain, or a pattern and a domain, like poe.net or *.lenore.org=poe.net, found "*.lenore.org="',
    ],
  ],
  [
    'plain HTTP for the world',
    `${poe}[listen]\nhttp = [\n"127.9.9.9:80", "[::1]:80",\n"0.0.0.0:80"]`,
    [
      '6: listen.http[2]: expected a loopback address for plain HTTP, found 0.0.0.0:80; give http.certificate and http.key, or set http.behindProxy = true when a proxy in front speaks HTTPS',
    ],
  ],
  [
    'plain HTTP for the world of IPv6',
    `listen.http = ["[::]:80"]\n${poe}`,
    [
      '1: listen.http[0]: expected a loopback address for plain HTTP, found [::]:80; give http.certificate and http.key, or set http.behindProxy = true when a proxy in front speaks HTTPS',
    ],
  ],
  [
    'a certificate without key',
    `${poe}[http]\ncertificate = "web.pem"`,
    ['4: http.certificate: needs http.key, the private key that belongs to it'],
  ],
  [
    'a key without certificate',
    `${poe}[http]\nkey = "web.key"`,
    ['4: http.key: needs http.certificate, the certificate that belongs to it'],
  ],
  [
    'frames too small for objects',
    `${poe}[limits]\nobjectBytes = 1_000_000`,
    ['3: limits.frameBytes: expected more than limits.objectBytes (1000000), found 524288'],
  ],
  [
    'a window too small for frames',
    `${poe}[limits]\nwindowBytes = 10_000`,
    ['4: limits.windowBytes: expected at least limits.frameBytes (524288), found 10000'],
  ],

  ['no TOML', `${poe}[listen\n`, ['3: not TOML']],
  ['a key twice', `data = "a"\ndata = "b"\n${poe}`, ['2: not TOML']],
  ['a key that changes objects', `${poe}[http]\n__proto__ = 1`, ['4: not TOML']],
  ['deep nesting', `data = ${'['.repeat(5000)}`, ['1: not TOML']],
  [
    'dates',
    `listen = 2026-11-01\n${poe}[http]\nkey = 12:30:00`,
    [
      '1: listen: expected no date; in quotes it is text',
      '5: http.key: expected no date; in quotes it is text',
    ],
  ],
  ['not UTF-8', '\ufffd', [' not text in UTF-8']],
]

describe('config', () => {
  let folder: string
  let file: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-config-'))
    file = join(folder, 'fmtp.conf')
  })
  after(() => rmSync(folder, { recursive: true }))

  function load(text: string | Uint8Array): LoadedConfig {
    writeFileSync(file, text)
    return loadConfig(file)
  }

  /** The lines of the error, with the file name only. */
  function complaints(run: () => unknown): readonly string[] {
    try {
      run()
    } catch (error) {
      if (!(error instanceof FmtpError)) throw error
      assert.equal(error.code, 'FMTP_CONFIG')
      return error.message.replace('FMTP_CONFIG: ', '').replaceAll(`${folder}/`, '').split('\n')
    }
    return []
  }

  describe('tells with line and key', () => {
    for (const [name, text, lines] of mistakes) {
      it(name, () => {
        const bytes = text === '\ufffd' ? Uint8Array.of(0x23, 0xff) : text
        assert.deepEqual(
          // What is no TOML is told in the parser's words, which may change with it.
          complaints(() => load(bytes)).map(line => line.replace(/: not TOML: .+/, ': not TOML')),
          lines.map(line => `fmtp.conf:${line}`),
        )
      })
    }

    it('a file that is not there, or is no file', () => {
      assert.deepEqual(
        complaints(() => loadConfig(join(folder, 'none.conf'))),
        ['none.conf: no such file'],
      )
      const folderItself = complaints(() => loadConfig(join(folder, '.')))
      assert.match(folderItself.join(), /can not be read \(EISDIR\)$/)
    })

    it('a file that is too large to be a config', () => {
      assert.deepEqual(
        complaints(() => load('#'.repeat(1024 * 1024 + 1))),
        ['fmtp.conf: expected at most 1048576 bytes, found 1048577'],
      )
    })
  })

  it('fills in every default', () => {
    assert.deepEqual(load(poe), {
      data: join(folder, 'data'),
      kinds: '',
      domain: [{ name: 'poe.net' }],
      parents: [],
      children: [],
      listen: { tcp: ['127.0.0.1:3687'], http: ['127.0.0.1:8080'], udp: [], contacts: [], hosts: [] },
      http: {
        behindProxy: false,
        certificate: '',
        key: '',
        maxConnections: 10000,
        requestTimeoutMs: 600_000,
        headersTimeoutMs: 10000,
        originUrl: '',
      },
      dns: { servers: [], requireSecure: false },
      guard: { allow: [] },
      tls: { ca: '' },
      log: { level: 'info', format: 'auto' },
      limits: {
        objectBytes: limits.objectBytes,
        frameBytes: limits.frameBytes,
        recipients: limits.recipients,
        boxBytes: limits.boxBytes,
        blobBytes: limits.blobBytes,
        cacheBytes: limits.cacheBytes,
        relayBytes: limits.relayBytes,
        userBlobBytes: limits.userBlobBytes,
        freeBytes: limits.freeBytes,
        groupsPerUser: 20,
        windowFrames: limits.windowFrames,
        windowBytes: limits.windowBytes,
        sessionsPerPeer: 8,
        connections: 2000,
        idleMs: 600_000,
        pingAfterMs: 30_000,
        pongMs: 15_000,
        connectionsPerHost: limits.connectionsPerHost,
        newRecipientsPerDay: limits.newRecipientsPerDay,
        unknownPeerPerSecond: limits.unknownPeerPerSecond,
        unknownPeerBurst: limits.unknownPeerBurst,
        exempt: [],
      },
      block: { domains: [] },
      file,
    })
  })

  it('keeps what is given, and resolves paths from the folder of the file', () => {
    const config = load(`data = "../store"
      kinds = "kinds"
      [[domain]]
      name = "poe.net"
      [[domain]]
      name = "lenore.org"
      [listen]
      http = ["0.0.0.0:443", "[2001:db8::1]:443"]
      [http]
      certificate = "web/cert.pem"
      key = "/etc/ssl/web.key"
      [tls]
      ca = "ca.pem"`)
    assert.equal(config.data, resolve(folder, '../store'))
    assert.equal(config.kinds, join(folder, 'kinds'))
    assert.deepEqual(config.domain, [{ name: 'poe.net' }, { name: 'lenore.org' }])
    assert.equal(config.http.certificate, join(folder, 'web/cert.pem'))
    assert.equal(config.http.key, '/etc/ssl/web.key')
    assert.equal(config.tls.ca, join(folder, 'ca.pem'))
  })

  it('takes plain HTTP everywhere behind a proxy, and line ends and a mark of Windows', () => {
    const config = load(`\ufeffhttp.behindProxy = true\r\nlisten.http = ["0.0.0.0:80"]\r\n${poe}`)
    assert.deepEqual(config.listen.http, ['0.0.0.0:80'])
  })

  it('is frozen at all depths', () => {
    const config = load(poe)
    const parts: readonly object[] = [
      config,
      config.domain,
      ...config.domain,
      config.listen,
      config.listen.tcp,
      config.http,
      config.limits,
      config.limits.exempt,
    ]
    for (const part of parts) assert.ok(Object.isFrozen(part))
    assert.throws(() => {
      // @ts-expect-error: readonly in its type, too
      config.log.level = 'debug'
    }, TypeError)
  })

  it('loads the island that a first start writes', () => {
    const config = load(islandConfig('localhost'))
    assert.deepEqual({ ...config, file: '' }, { ...load('[[domain]]\nname = "localhost"'), file: '' })
  })

  describe('fmtp.conf.example', () => {
    it('is as npm run gen writes it', () => {
      assert.equal(readFileSync('fmtp.conf.example', 'utf8'), exampleConfig(), 'stale: npm run gen')
    })

    it('loads, with nothing but defaults', () => {
      assert.deepEqual(load(exampleConfig()), load(poe))
    })

    it('shows every key, each with the default it has', () => {
      // The parser's tables have no prototype.
      const everything = structuredClone(parse(exampleConfig().replaceAll(/^#(?=\w+ = )/gm, '')))
      assert.deepEqual(Object.keys(everything).sort(), Object.keys(configSchema.properties).sort())
      const { file: _, ...defaults } = load(poe)
      assert.deepEqual({ ...everything, data: join(folder, 'data') }, defaults)
    })
  })
})

describe('config syntax', () => {
  /** Lines of the given places in a text. */
  function linesOf(text: string, ...places: readonly (readonly (string | number)[])[]): unknown[] {
    const syntax = readSyntax(text)
    assert.ok(syntax.ok, JSON.stringify(syntax))
    return places.map(keys => syntax.lineOf(keys))
  }

  it('finds keys, tables and tables of lists', () => {
    const text =
      'a = 1\n\n[b] # b\nc = 2\n[b.d]\ne.f = 3\n[[g]]\nh = 4\n[[g]]\n[g.i]\nj = 5\n[[g.k]]\nl = 6\n[[g.k]]\nl = 7'
    assert.deepEqual(
      linesOf(text, ['a'], ['b'], ['b', 'c'], ['b', 'd'], ['b', 'd', 'e'], ['b', 'd', 'e', 'f'], ['g']),
      [1, 3, 4, 5, 6, 6, 7],
    )
    assert.deepEqual(
      linesOf(
        text,
        ['g', 0],
        ['g', 0, 'h'],
        ['g', 1],
        ['g', 1, 'i'],
        ['g', 1, 'i', 'j'],
        ['g', 1, 'k', 0, 'l'],
        ['g', 1, 'k', 1],
        ['g', 1, 'k', 1, 'l'],
      ),
      [7, 8, 9, 10, 11, 13, 14, 15],
    )
  })

  it('is not fooled by what only looks like keys', () => {
    const text = [
      "a = '''",
      'x = 1',
      '[y]',
      "it''s'''''",
      'b = """\\',
      'x = 2',
      '\\""" # "" x = 3"""""',
      'c = "# \\" [x] = "',
      "d = '\\'",
      'e = [ # x = ]',
      '  "]", ["x = 3", [',
      "'''",
      "]''', 4]], {f = \"}\",",
      '"g h".i = 5}]',
      '"x = y" . \'[z]\' = 6 # x = 6',
      '# x = 7',
      '',
      'j = +inf',
    ].join('\n')
    assert.deepEqual(
      linesOf(
        text,
        ['x'],
        ['y'],
        ['a'],
        ['b'],
        ['c'],
        ['d'],
        ['e'],
        ['e', 0],
        ['e', 1, 1, 0],
        ['e', 1, 1, 1],
      ),
      [undefined, undefined, 1, 5, 8, 9, 10, 11, 12, 13],
    )
    assert.deepEqual(
      linesOf(text, ['e', 2, 'f'], ['e', 2, 'g h', 'i'], ['x = y'], ['x = y', '[z]'], ['j']),
      [13, 14, 15, 15, 18],
    )
  })

  it('gives the line of what holds a key that is not there', () => {
    assert.deepEqual(linesOf('\n[a]\nb = 1', ['a', 'c', 'd'], ['e'], []), [2, undefined, undefined])
  })

  it('finds every place that the parser finds', () => {
    const text = exampleConfig().replaceAll(/^#(?=\w+ = )/gm, '')
    const syntax = readSyntax(text)
    assert.ok(syntax.ok)
    const rows = text.split('\n')
    for (const [table, keys] of Object.entries(syntax.tree)) {
      if (typeof keys !== 'object' || keys === null || Array.isArray(keys)) continue
      for (const name of Object.keys(keys)) {
        const line = syntax.lineOf([table, name]) ?? 0
        assert.ok(rows[line - 1]?.startsWith(`${name} = `), `${table}.${name} at ${line}`)
      }
    }
  })
})

describe('config syntax of any tree', () => {
  /** Every leaf with its place. */
  function* leaves(value: unknown, keys: (string | number)[]): Generator<[(string | number)[], unknown]> {
    if (Array.isArray(value))
      for (const [index, entry] of value.entries()) yield* leaves(entry, [...keys, index])
    else if (typeof value === 'object' && value !== null)
      for (const [name, entry] of Object.entries(value)) yield* leaves(entry, [...keys, name])
    else yield [keys, value]
  }

  it('finds the line of every value', () => {
    const name = fc
      .oneof(
        fc.string({ maxLength: 6 }),
        fc.constantFrom('a', 'b', '"', "'''", '# x', '[y]', '\n', '\\', '=', '.'),
      )
      .filter(text => text !== '__proto__' && text !== 'constructor')
    const { tree } = fc.letrec<{ tree: unknown; value: unknown }>(tie => ({
      value: fc.oneof({ maxDepth: 3 }, name, tie('tree'), fc.array(tie('value'), { maxLength: 3 })),
      tree: fc.dictionary(name, tie('value'), { maxKeys: 4 }),
    }))
    fc.assert(
      fc.property(tree, shape => {
        // Each text gets a mark that is found on its own line alone.
        let marks = 0
        const marked = JSON.parse(JSON.stringify(shape), (_, value) =>
          typeof value === 'string' ? `${value}<${marks++}>` : value,
        )
        const text = stringify(marked)
        const rows = text.split('\n')
        const syntax = readSyntax(text)
        assert.ok(syntax.ok)
        for (const [keys, value] of leaves(syntax.tree, [])) {
          const row = rows[(syntax.lineOf(keys) ?? 0) - 1]
          assert.ok(row?.includes(/<\d+>$/.exec(String(value))?.[0] ?? '?'), `${keys.join()} in ${text}`)
        }
      }),
      { numRuns: 200 },
    )
  })
})

describe('findNearest', () => {
  const known = ['tcp', 'http', 'hosts', 'behindProxy']
  const words: readonly (readonly [word: string, nearest: string | undefined])[] = [
    ['tpc', 'tcp'],
    ['HTTP', 'http'],
    ['host', 'hosts'],
    ['behind_proxy', 'behindProxy'],
    ['udp', undefined],
    ['', undefined],
    ['x'.repeat(100_000), undefined],
  ]
  for (const [word, nearest] of words) {
    it(`of ${JSON.stringify(word.slice(0, 20))} is ${nearest ?? 'none'}`, () => {
      assert.equal(findNearest(word, known), nearest)
    })
  }
})
