/** The web side (protocol §9.7): public objects as JSON, the log-in page, health. A thin way to `reveal`. */
import Router from '@koa/router'
import Koa from 'koa'
import type { Clock } from '../../objects/clock.ts'
import { sha256Text } from '../../objects/seals/keys.ts'
import { type FailureCode, FmtpError, failures, toFmtpError } from '../../schemas/failures.ts'
import {
  makeObjectId,
  type ObjectId,
  ownerOf,
  parseAddress,
  parseObjectId,
} from '../../schemas/text/names.ts'
import type { Accounts } from '../accounts/accounts.ts'
import type { Shelf } from '../blobs/user-blobs.ts'
import type { Log } from '../core/log.ts'
import type { Reveal } from '../exchange/reveal.ts'
import { routeBlobs } from './blobs.ts'
import { loginPage } from './login-page.ts'

export interface WebPorts {
  readonly reveal: Reveal
  readonly accounts: Accounts
  readonly shelf: Shelf
  readonly clock: Clock
  readonly log: Log
  /** Has a blob come from the home of an object that names it. @throws {FmtpError} why it does not */
  bring(sha256: string, id: ObjectId): Promise<void>
  /** True: a proxy says who asks, in the last address of X-Forwarded-For. */
  readonly isBehindProxy: boolean
  /** Counts a request of a guest. Throws FMTP_RATE where there are too many from one address. */
  spendRequest(remote: string): Promise<void>
}

export function createWeb(ports: WebPorts): Koa {
  const app = new Koa()
  const router = new Router({ sensitive: true, strict: true })

  router.get('/healthz', context => {
    context.body = 'ok\n'
  })
  router.get('/login', context => {
    context.set(pageHeaders)
    context.type = 'html'
    context.body = loginPage
  })
  router.get('/objects/:id', context => answerObject(context, parseObjectId(context.params.id)))
  router.get('/users/:address', context =>
    answerObject(context, makeObjectId('user', parseAddress(context.params.address))),
  )

  routeBlobs(router, { ...ports, spend })

  function spend(context: Koa.Context): Promise<void> {
    return ports.spendRequest(remoteOf(context, ports.isBehindProxy))
  }

  async function answerObject(context: Koa.Context, id: ObjectId): Promise<void> {
    await spend(context)
    const object = ports.reveal.findFor(id, [])
    if (object === undefined)
      throw new FmtpError(ports.accounts.isOwn(ownerOf(id)) ? 'FMTP_ABSENT' : 'FMTP_NOT_HERE', id)
    const body = JSON.stringify(object)
    context.set({
      'Cache-Control': 'no-cache',
      'Access-Control-Allow-Origin': '*',
      'X-Content-Type-Options': 'nosniff',
    })
    context.status = 200
    context.etag = sha256Text(body).slice(0, 22)
    if (context.fresh) {
      context.status = 304
      return
    }
    context.type = 'application/json'
    context.body = body
  }

  app.use(async (context, next) => {
    // A body that nobody reads must not hold the connection.
    if (context.method !== 'PUT' && (context.request.length ?? 0) > 0) context.set('Connection', 'close')
    try {
      await next()
      if (context.status === 404 && context.body === undefined)
        throw new FmtpError('FMTP_NOT_FOUND', context.path)
      // What the router says to a method that a path does not have; OPTIONS it answers itself.
      if (context.status >= 400 && context.body === undefined)
        tell(context, 'FMTP_NOT_OFFERED', context.status)
    } catch (thrown) {
      if (context.method === 'PUT') context.set('Connection', 'close')
      const error = isHttpError(thrown) ? new FmtpError('FMTP_BAD_NAME', thrown.message) : toFmtpError(thrown)
      if (error.code === 'FMTP_INTERNAL')
        ports.log.error({ path: context.path, reason: error.message }, 'http.failed')
      if (error.retryAfterMs !== undefined)
        context.set('Retry-After', String(Math.ceil(error.retryAfterMs / 1000)))
      tell(context, error.code, failures[error.code].status)
    }
  })
  app.use(router.routes())
  app.use(router.allowedMethods())
  app.silent = true
  return app
}

function tell(context: Koa.Context, code: FailureCode, status: number): void {
  context.status = status
  context.body = { code, text: failures[code].text }
}

/** Who asks, as the WebSocket side tells it (protocol §12.2). */
function remoteOf(context: Koa.Context, isBehindProxy: boolean): string {
  const forwarded = context.get('X-Forwarded-For').split(',').at(-1)?.trim() ?? ''
  return isBehindProxy && forwarded !== '' ? forwarded : (context.req.socket.remoteAddress ?? '')
}

/** What koa and its router throw for a request they can not read, such as broken percent signs. */
function isHttpError(thrown: unknown): thrown is Error & { status: number } {
  return (
    thrown instanceof Error && 'status' in thrown && typeof thrown.status === 'number' && thrown.status < 500
  )
}

const pageHeaders = {
  'Content-Security-Policy':
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'no-store',
}
