/**
 * The commands' side of the control socket: has an action done by the server that runs on the data folder. Where none
 * runs, the very same action is done in this process, which has the data folder for as long.
 */
import { once } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { damageAdvice } from '../../objects/store/engine/damage.ts'
import { isLocked } from '../../objects/store/engine/leveldb.ts'
import { type FailureCode, FmtpError, findFailure } from '../../schemas/failures.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { type Core, type CoreOptions, openCore } from '../core/core.ts'
import { type ActionPorts, type Progress, requireAction } from '../operator/action.ts'
import { createActions } from './actions.ts'
import { controlPath, requireOwn } from './socket-path.ts'

/** A server that starts has the lock a while before it listens. */
const patienceMs = 5000
/** A server says something every few seconds while it works. */
const silenceMs = 30_000

/**
 * Has an action done, by the running server or here, and resolves with its result. Paths in `args` must be absolute: the
 * server works in another folder.
 * @throws {FmtpError} of the action; FMTP_STORE when a process has the data folder and does not answer
 */
export async function runAction(
  configFile: string,
  action: string,
  args: Readonly<Record<string, unknown>>,
  ports: ActionPorts,
): Promise<object> {
  const config = loadConfig(configFile)
  if (!existsSync(join(config.data, 'store')))
    throw new FmtpError(
      'FMTP_NOT_FOUND',
      `there is no store in ${config.data}: no server has run with ${config.file} yet. Start it with: fmtp serve --config ${config.file}`,
    )
  const watching = {
    onEvent: (event: string, { what, done }: Readonly<Record<string, unknown>>): void => {
      if (event === 'store.upgrade')
        ports.onProgress({ what: `${what} of an older store`, done: Number(done) })
    },
  }
  for (const endMs = Date.now() + patienceMs; ; await sleep(100)) {
    const socket = await findServer(config)
    if (socket !== undefined) return await ask(socket, { action, args }, ports)
    const core = await findCore(config, endMs, { ...watching, keepsVersion: action === 'backup' })
    if (core === undefined) continue
    await using opened = core
    const { damage } = opened.database
    if (damage.length > 0) process.stderr.write(`${damageAdvice}\n  ${damage.join('\n  ')}\n`)
    return await requireAction(createActions(opened), action)(args, ports)
  }
}

/**
 * The same by the running server alone, for who wants to know what that says. `undefined`: none listens.
 * @throws {FmtpError} of the action; FMTP_CONFIG, FMTP_STORE when the socket can not be used
 */
export async function askServer(
  config: Pick<LoadedConfig, 'data'>,
  action: string,
  args: Readonly<Record<string, unknown>>,
  ports: ActionPorts,
): Promise<object | undefined> {
  const socket = await findServer(config)
  return socket === undefined ? undefined : ask(socket, { action, args }, ports)
}

/** A connection to the server of this data folder, `undefined` where none listens. */
async function findServer({ data }: Pick<LoadedConfig, 'data'>): Promise<Socket | undefined> {
  const path = controlPath(data)
  requireOwn(data, path)
  const socket = connect(path)
  try {
    await once(socket, 'connect')
    return socket
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    // Nobody made a socket, or who made it was killed.
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined
    // The queue of the socket is full.
    if (code === 'EAGAIN') throw silentError(data, path)
    const told =
      code === 'EACCES' ? 'it belongs to another user; run this as the one who runs the server' : code
    throw new FmtpError('FMTP_CONFIG', `the control socket ${path} can not be opened: ${told}`, { cause })
  }
}

/** The data folder for this process, `undefined` while another has it. @throws {FmtpError} once it is too late */
async function findCore(
  config: LoadedConfig,
  endMs: number,
  options: CoreOptions,
): Promise<Core | undefined> {
  const { data } = config
  const owner = statSync(data).uid
  // What another user writes into the store, the server could not open any more.
  if (process.getuid !== undefined && process.getuid() !== owner)
    throw new FmtpError(
      'FMTP_STORE',
      `${data} belongs to the user with number ${owner}: run this as that user`,
    )
  try {
    return await openCore(config, options)
  } catch (thrown) {
    if (!isLocked(thrown)) throw thrown
    if (Date.now() > endMs) throw silentError(data, controlPath(data))
    return undefined
  }
}

function silentError(data: string, path: string): FmtpError {
  return new FmtpError(
    'FMTP_STORE',
    `a process has ${data} and does not answer at ${path}.\nIf another command runs, wait until it has ended. If a server runs, look at its log; it may hang, or have another TMPDIR. End it and start it again, or try again without it.`,
  )
}

interface Request {
  readonly action: string
  readonly args: Readonly<Record<string, unknown>>
}

async function ask(socket: Socket, request: Request, { onProgress, signal }: ActionPorts): Promise<object> {
  socket.on('error', () => undefined)
  socket.setTimeout(silenceMs, () => socket.destroy())
  // The server tidies up and says so; its silence is limited all the same.
  const onAbort = (): void => {
    socket.end()
  }
  signal.addEventListener('abort', onAbort)
  try {
    signal.throwIfAborted()
    socket.write(`${JSON.stringify(request)}\n`)
    for await (const line of createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY })) {
      const { progress, result, failure } = JSON.parse(line) as Reply
      if (failure !== undefined) throw failureFrom(failure)
      if (result !== undefined) return result
      if (progress !== undefined) onProgress(progress)
    }
    throw new FmtpError('FMTP_DISCONNECTED', 'the server went away, or said nothing for a while; see its log')
  } catch (thrown) {
    throw signal.aborted ? signal.reason : thrown
  } finally {
    signal.removeEventListener('abort', onAbort)
    socket.destroy()
  }
}

interface Reply {
  readonly progress?: Progress
  readonly result?: object
  readonly failure?: { readonly code: string; readonly detail: string }
}

function failureFrom({ code, detail }: { readonly code: string; readonly detail: string }): FmtpError {
  if (findFailure(code) === undefined) return new FmtpError('FMTP_INTERNAL', `${code}: ${detail}`)
  return new FmtpError(code as FailureCode, detail === '' ? undefined : detail)
}
