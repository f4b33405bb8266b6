/**
 * The server's side of the control socket: one request in one line, `{"action":…,"args":{…}}`, answered by lines
 * `{"progress":{…}}` and at the end `{"result":{…}}` or `{"failure":{"code","text","detail"}}`. Whoever may open the
 * socket may do everything; the file system lets only the owner of the data folder.
 */
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { FmtpError, toFmtpError } from '../../schemas/failures.ts'
import { type ControlActions, type Progress, requireAction } from '../operator/action.ts'
import { clearControlPath, controlPath } from './socket-path.ts'

const lineBytes = 64 * 1024
const connectionsMost = 8
/** How long the other side has to read the last line when the server stops. */
const partingMs = 500
/** How long it has else. */
const lastLineMs = 10_000
/** How often a client hears that its action goes on. */
const signOfLifeMs = 5000
// A client that reads slower than this is told of less progress.
const unreadBytes = 64 * 1024

/**
 * Listens for commands on the data folder. Only for who holds its lock: what is at the path of the socket is taken away.
 * @throws {FmtpError} FMTP_CONFIG when there can be no socket
 */
export async function listenControl(
  data: string,
  actions: ControlActions,
  lineMs = 10_000,
): Promise<AsyncDisposable> {
  const path = controlPath(data)
  clearControlPath(data, path)
  const sockets = new Set<Socket>()
  const running = new Map<AbortController, Promise<void>>()
  const server = createServer({ allowHalfOpen: true }, socket => {
    sockets.add(socket)
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket))
    if (running.size >= connectionsMost) {
      finish(socket, failureOf(new FmtpError('FMTP_BUSY', `${connectionsMost} commands run already`)))
      return
    }
    const controller = new AbortController()
    const abort = (): void =>
      controller.abort(new FmtpError('FMTP_DISCONNECTED', 'the command has ended before its action'))
    socket.once('end', abort).once('close', abort)
    const ended = answer(socket, actions, { signal: controller.signal, lineMs }).then(() => {
      running.delete(controller)
    })
    running.set(controller, ended)
  })
  // The socket is made within `listen`: there is no moment in which others could open it.
  const umask = process.umask(0o177)
  try {
    server.listen(path)
  } finally {
    process.umask(umask)
  }
  try {
    await once(server, 'listening')
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new FmtpError('FMTP_CONFIG', `no control socket at ${path}: ${reason}`, { cause })
  }
  return {
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      for (const controller of running.keys())
        controller.abort(new FmtpError('FMTP_SHUTTING_DOWN', 'the server stops'))
      await Promise.all(running.values())
      setTimeout(() => {
        for (const socket of sockets) socket.destroy()
      }, partingMs).unref()
      await closed
    },
  }
}

interface ReadLimits {
  readonly signal: AbortSignal
  readonly lineMs: number
}

/** Never throws: whatever goes wrong is told to the other side. */
async function answer(socket: Socket, actions: ControlActions, limits: ReadLimits): Promise<void> {
  const { signal } = limits
  let last: Progress | undefined
  const onProgress = (progress: Progress): void => {
    last = progress
    if (socket.writable && socket.writableLength < unreadBytes) send(socket, { progress })
  }
  let lifeSigns: NodeJS.Timeout | undefined
  try {
    const { action: name, args } = parseRequest(await readLine(socket, limits))
    const action = requireAction(actions, name)
    onProgress({ what: name, done: 0 })
    lifeSigns = setInterval(() => onProgress(last ?? { what: name, done: 0 }), signOfLifeMs)
    const result = await action(args, { onProgress, signal })
    finish(socket, { result })
  } catch (thrown) {
    finish(socket, failureOf(thrown))
  } finally {
    clearInterval(lifeSigns)
  }
}

/** The first line, without its end. @throws {FmtpError} when none comes, in time and size; the signal's reason */
function readLine(socket: Socket, { signal, lineMs }: ReadLimits): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const settle = (outcome: () => void): void => {
      clearTimeout(timeout)
      signal.removeEventListener('abort', onAbort)
      socket.off('data', onData)
      // What follows the line is of no use, and must be read for the end of the connection to be seen.
      socket.resume()
      outcome()
    }
    const onAbort = (): void => settle(() => reject(signal.reason))
    const onData = (chunk: Buffer): void => {
      const end = chunk.indexOf(0x0a)
      const part = end < 0 ? chunk : chunk.subarray(0, end)
      bytes += part.length
      if (bytes > lineBytes) {
        const detail = `a request has at most ${lineBytes} bytes in one line`
        settle(() => reject(new FmtpError('FMTP_FRAME_TOO_LARGE', detail)))
        return
      }
      chunks.push(part)
      if (end >= 0) settle(() => resolve(Buffer.concat(chunks)))
    }
    const timeout = setTimeout(
      () => settle(() => reject(new FmtpError('FMTP_TIMEOUT', `no request came within ${lineMs} ms`))),
      lineMs,
    )
    signal.addEventListener('abort', onAbort)
    socket.on('data', onData)
  })
}

/** @throws {FmtpError} FMTP_NOT_JSON, FMTP_BAD_FRAME */
function parseRequest(line: Buffer): { action: string; args: Readonly<Record<string, unknown>> } {
  let request: unknown
  try {
    request = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(line))
  } catch (cause) {
    throw new FmtpError('FMTP_NOT_JSON', 'the request is not JSON', { cause })
  }
  if (!isRecord(request)) throw new FmtpError('FMTP_NOT_JSON', 'the request is not a JSON object')
  const { action, args = {} } = request
  if (typeof action !== 'string' || !isRecord(args))
    throw new FmtpError('FMTP_BAD_FRAME', 'a request is {"action":"…","args":{…}}')
  return { action, args }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function failureOf(thrown: unknown): object {
  const { code, text, message } = toFmtpError(thrown)
  return { failure: { code, text, detail: message.replace(/^FMTP_[A-Z_]+(: |$)/, '') } }
}

function send(socket: Socket, line: object): void {
  socket.write(`${JSON.stringify(line)}\n`)
}

/** Says the last line, and waits a while for the other side to have read it. */
function finish(socket: Socket, line: object): void {
  if (socket.destroyed) return
  socket.resume()
  socket.end(`${JSON.stringify(line)}\n`)
  setTimeout(() => socket.destroy(), lastLineMs).unref()
}
