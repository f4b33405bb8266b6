/** The web side (protocol §9.7): public objects as JSON, the log-in page, health. A thin way to `reveal`. */
import Router from '@koa/router'
import Koa from 'koa'
import { sha256Text } from '../../objects/keys.ts'
import { FmtpError, failures, toFmtpError } from '../../schemas/failures.ts'
import { makeObjectId, type ObjectId, ownerOf, parseAddress, parseObjectId } from '../../schemas/names.ts'
import type { Accounts } from '../accounts/accounts.ts'
import type { Reveal } from '../exchange/reveal.ts'
import type { Log } from '../log.ts'
import { loginPage } from './login-page.ts'

export interface WebPorts {
  readonly reveal: Reveal
  readonly accounts: Accounts
  readonly log: Log
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

  function answerObject(context: Koa.Context, id: ObjectId): void {
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
    try {
      await next()
      if (context.status === 404 && context.body === undefined)
        throw new FmtpError('FMTP_NOT_FOUND', context.path)
    } catch (thrown) {
      const error = isHttpError(thrown) ? new FmtpError('FMTP_BAD_NAME', thrown.message) : toFmtpError(thrown)
      if (error.code === 'FMTP_INTERNAL')
        ports.log.error({ path: context.path, reason: error.message }, 'http.failed')
      context.status = failures[error.code].status
      context.body = { code: error.code, text: error.text }
    }
  })
  app.use(router.routes())
  app.use(router.allowedMethods())
  app.silent = true
  return app
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
