/** The control socket: what it answers to whom, that bad input harms nothing, and where an action is done. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { FmtpError } from '../../../schemas/failures.ts'
import { runAction } from '../../../server/control/client.ts'
import { listenControl } from '../../../server/control/socket.ts'
import { controlPath } from '../../../server/control/socket-path.ts'
import type { ActionPorts, ControlActions } from '../../../server/operator/action.ts'
import { assertCode, waitUntil } from '../../support/conditions.ts'
import { ServerProcess } from '../../support/fmtp-process.ts'
import { ownAddress } from '../../support/loopback.ts'

const config = `
[[domain]]
name = "localhost"

[listen]
tcp = []
http = ["${ownAddress(201)}:0"]
hosts = ["${ownAddress(201)}"]
`

const quiet = (): ActionPorts => ({ onProgress: () => undefined, signal: new AbortController().signal })

describe('control socket', () => {
  let folder: string
  let control: AsyncDisposable | undefined
  let aborted: unknown[]

  const actions: ControlActions = {
    echo: async (args, { onProgress }) => {
      onProgress({ what: 'words', done: 1, total: 2 })
      return { args }
    },
    fail: async () => {
      throw new FmtpError('FMTP_STORE', 'the disk is full')
    },
    break: async () => {
      throw new TypeError('x is not a function')
    },
    wait: (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          aborted.push(signal.reason)
          reject(signal.reason)
        })
      }),
  }

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-control-'))
    aborted = []
    control = await listenControl(folder, actions, 300)
  })

  afterEach(async () => {
    await control?.[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  async function open(): Promise<Socket> {
    const socket = connect(controlPath(folder))
    await once(socket, 'connect')
    return socket
  }

  /** All lines that come for what is written. */
  async function say(bytes: string | Buffer): Promise<Record<string, Record<string, unknown>>[]> {
    const socket = await open()
    socket.write(bytes)
    const lines = (await text(socket)).split('\n')
    assert.equal(lines.pop(), '', 'the last line is whole')
    return lines.map(line => JSON.parse(line))
  }

  async function assertRefused(bytes: string | Buffer, code: string): Promise<void> {
    const lines = await say(bytes)
    const { failure } = lines.at(-1) ?? {}
    assert.equal(failure?.code, code)
    assert.ok(String(failure?.text).length > 10)
    assert.ok(String(failure?.detail).length > 10)
    // Nothing was killed.
    assert.ok((await say('{"action":"echo"}\n')).at(-1)?.result)
  }

  it('answers an action with progress and result', async () => {
    assert.deepEqual(await say('{"action":"echo","args":{"a":[1]}}\n'), [
      { progress: { what: 'echo', done: 0 } },
      { progress: { what: 'words', done: 1, total: 2 } },
      { result: { args: { a: [1] } } },
    ])
  })

  it('takes a request in pieces, and what follows it for nothing', async () => {
    const socket = await open()
    socket.write('{"action":"ec')
    await waitUntil('it is sent', () => socket.bytesWritten === 13)
    socket.write('ho"}\n{"action":"fail"}\n')
    assert.match(await text(socket), /"result":\{"args":\{\}\}/)
  })

  const refused: readonly (readonly [what: string, bytes: string | Buffer, code: string])[] = [
    ['what is not JSON', 'backup please\n', 'FMTP_NOT_JSON'],
    ['an empty line', '\n', 'FMTP_NOT_JSON'],
    ['what is not UTF-8', Buffer.from([0x7b, 0xff, 0x7d, 0x0a]), 'FMTP_NOT_JSON'],
    ['JSON that is no object', '["echo"]\n', 'FMTP_NOT_JSON'],
    ['null', 'null\n', 'FMTP_NOT_JSON'],
    ['a request without an action', '{"args":{}}\n', 'FMTP_BAD_FRAME'],
    ['an action that is no text', '{"action":["echo"]}\n', 'FMTP_BAD_FRAME'],
    ['arguments that are no object', '{"action":"echo","args":[1]}\n', 'FMTP_BAD_FRAME'],
    ['an unknown action', '{"action":"dance"}\n', 'FMTP_NOT_OFFERED'],
    ['__proto__', '{"action":"__proto__"}\n', 'FMTP_NOT_OFFERED'],
    ['constructor', '{"action":"constructor"}\n', 'FMTP_NOT_OFFERED'],
    ['toString', '{"action":"toString"}\n', 'FMTP_NOT_OFFERED'],
    ['a line that is too long', `{"action":"${'x'.repeat(70_000)}"}\n`, 'FMTP_FRAME_TOO_LARGE'],
    ['a line without an end', 'x'.repeat(70_000), 'FMTP_FRAME_TOO_LARGE'],
    ['an action that fails', '{"action":"fail"}\n', 'FMTP_STORE'],
    ['an action that breaks', '{"action":"break"}\n', 'FMTP_INTERNAL'],
    ['silence', '{"action":', 'FMTP_TIMEOUT'],
  ]
  for (const [what, bytes, code] of refused)
    it(`answers ${what} with ${code}`, () => assertRefused(bytes, code))

  it('takes a line of 64 KiB', async () => {
    const request = (length: number): string => `{"action":"echo","args":{"a":"${'x'.repeat(length)}"}}`
    const around = request(0).length
    assert.ok((await say(`${request(64 * 1024 - around)}\n`)).at(-1)?.result)
    await assertRefused(`${request(64 * 1024 - around + 1)}\n`, 'FMTP_FRAME_TOO_LARGE')
  })

  it('ends an action when its connection closes', async () => {
    const socket = await open()
    socket.write('{"action":"wait"}\n')
    await once(socket, 'data')
    socket.destroy()
    await waitUntil('it is ended', () => aborted.length === 1)
  })

  it('serves eight at once, and tells the ninth', async () => {
    const open8 = await Promise.all(Array.from({ length: 8 }, open))
    for (const socket of open8) socket.write('{"action":"wait"}\n')
    await Promise.all(open8.map(socket => once(socket, 'data')))
    assert.equal((await say('{"action":"echo"}\n')).at(-1)?.failure?.code, 'FMTP_BUSY')
    open8[0]?.destroy()
    await waitUntil('one has ended', () => aborted.length === 1)
    assert.ok((await say('{"action":"echo"}\n')).at(-1)?.result)
    for (const socket of open8) socket.destroy()
  })

  it('tells those who wait that the server stops, and takes its file away', async () => {
    const waiting = say('{"action":"wait"}\n')
    const silent = await open()
    silent.on('error', () => undefined)
    await waitUntil('it listens', () => existsSync(controlPath(folder)))
    const startMs = Date.now()
    await control?.[Symbol.asyncDispose]()
    control = undefined
    assert.equal((await waiting).at(-1)?.failure?.code, 'FMTP_SHUTTING_DOWN')
    assert.ok(Date.now() - startMs < 2000)
    assert.equal(existsSync(controlPath(folder)), false)
  })

  it('is for its owner alone', () => {
    assert.equal(statSync(controlPath(folder)).mode & 0o777, 0o600)
  })
})

describe('control socket, its path', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-control-'))
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('is in a folder of its own where the data folder has a long path', async () => {
    const data = join(folder, 'x'.repeat(100))
    const path = controlPath(data)
    const outside = dirname(path)
    assert.ok(path.length <= 100)
    assert.notEqual(path, controlPath(`${data}y`))
    try {
      const control = await listenControl(data, {})
      assert.equal(statSync(outside).mode & 0o777, 0o700)
      assert.equal(statSync(path).mode & 0o777, 0o600)
      await control[Symbol.asyncDispose]()
      chmodSync(outside, 0o755)
      await assertCode('FMTP_CONFIG', () => listenControl(data, {}))
      rmSync(outside, { recursive: true })
      writeFileSync(outside, '')
      await assertCode('FMTP_CONFIG', () => listenControl(data, {}))
    } finally {
      rmSync(outside, { recursive: true, force: true })
    }
  })

  it('is taken from nothing but an old socket', async () => {
    writeFileSync(controlPath(folder), 'precious')
    await assertCode('FMTP_CONFIG', () => listenControl(folder, {}))
    assert.ok(existsSync(controlPath(folder)))
  })
})

describe('an action', () => {
  let folder: string
  let file: string

  const start = (): ServerProcess =>
    new ServerProcess({ folder, name: 'server', config, users: ['a@localhost'] })

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-control-'))
    file = join(folder, 'server.conf')
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('is done by the running server, by this process where none runs, and by no killed one', async () => {
    {
      await using server = start()
      await server.ready()
      assert.deepEqual(await runAction(file, 'status', {}, quiet()), {
        pid: server.pid,
        data: join(folder, 'server.data'),
        domains: ['localhost'],
      })
      await server.end('SIGKILL')
    }
    assert.ok(existsSync(join(folder, 'server.data/control.sock')), 'the killed server left its socket')
    const offline = (await runAction(file, 'status', {}, quiet())) as { pid: number }
    assert.equal(offline.pid, process.pid)
    await using again = start()
    await again.ready()
    const online = (await runAction(file, 'status', {}, quiet())) as { pid: number }
    assert.equal(online.pid, again.pid)
    await again.end('SIGTERM')
    assert.equal(existsSync(join(folder, 'server.data/control.sock')), false)
  })

  it('that nobody knows fails alike with and without a server', async () => {
    await using server = start()
    await server.ready()
    await assertCode('FMTP_NOT_OFFERED', () => runAction(file, 'constructor', {}, quiet()))
    await server.end('SIGTERM')
    await assertCode('FMTP_NOT_OFFERED', () => runAction(file, 'constructor', {}, quiet()))
  })

  it('makes no data folder where there is none', async () => {
    writeFileSync(file, `data = "nowhere"\n${config}`)
    await assertCode('FMTP_NOT_FOUND', () => runAction(file, 'status', {}, quiet()))
    assert.equal(existsSync(join(folder, 'nowhere')), false)
  })

  it('ends with advice where a process has the data folder and nobody answers', async () => {
    await using server = start()
    await server.ready()
    rmSync(join(folder, 'server.data/control.sock'))
    await assert.rejects(
      runAction(file, 'status', {}, quiet()),
      /has .*server\.data and does not answer.*End it/s,
    )
  })

  it('is ended by its signal', async () => {
    const data = join(folder, 'server.data')
    mkdirSync(join(data, 'store'), { recursive: true })
    writeFileSync(file, `data = "server.data"\n${config}`)
    const heard: string[] = []
    const deaf = createServer({ allowHalfOpen: true }, socket => {
      socket.on('data', chunk => heard.push(String(chunk))).on('end', () => socket.end())
    })
    deaf.listen(controlPath(data))
    await once(deaf, 'listening')
    const controller = new AbortController()
    const done = runAction(file, 'status', {}, { ...quiet(), signal: controller.signal })
    await waitUntil('it asks', () => heard.length > 0)
    controller.abort(new FmtpError('FMTP_TIMEOUT', 'enough'))
    await assertCode('FMTP_TIMEOUT', () => done)
    deaf.close()
  })
})
