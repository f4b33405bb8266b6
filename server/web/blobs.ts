/** Blobs over HTTP (protocol §9.8): GET with ranges for who may have them, PUT for users of ours. */
import { Readable } from 'node:stream'
import type Router from '@koa/router'
import type Koa from 'koa'
import type { Clock } from '../../objects/clock.ts'
import { verifierOf } from '../../objects/seals/keys.ts'
import type { BlobRange } from '../../objects/store/blobs/blobs.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import type { Address, ObjectId } from '../../schemas/text/names.ts'
import { readHttpProof } from '../../wire/http-proof.ts'
import type { Accounts } from '../accounts/accounts.ts'
import type { Asker, FoundBlob, Shelf } from '../blobs/user-blobs.ts'

export interface BlobRoutesPorts {
  readonly shelf: Shelf
  readonly accounts: Accounts
  readonly clock: Clock
  /** Has a blob come from the home of an object that names it. @throws {FmtpError} why it does not */
  bring(sha256: string, id: ObjectId): Promise<void>
  /** Counts a request of somebody unproven. Throws FMTP_RATE where there are too many. */
  spend(context: Koa.Context): Promise<void>
}

const namePattern = /^[A-Za-z0-9_-]{43}$/
/** What a browser shows by itself without running anything. All else is a download. */
const shown = /^(?:image\/(?:png|jpeg|gif|webp|avif)|(?:audio|video)\/[a-z0-9.+-]+)$/

export function routeBlobs(router: Router, ports: BlobRoutesPorts): void {
  const { shelf, accounts, clock } = ports

  /** Who makes a request, by the key of an enrolled device; `undefined`: it does not say. */
  async function findUser(context: Koa.Context): Promise<Address | undefined> {
    const header = context.get('Authorization')
    if (header === '') return undefined
    const proof = readHttpProof(header)
    if (proof === undefined) throw new FmtpError('FMTP_UNAUTHORIZED', 'no proof of ours')
    const { as, method, path, atMs } = proof.request
    if (method !== context.method || path !== context.path)
      throw new FmtpError('FMTP_UNAUTHORIZED', `made for ${method} ${path}`)
    if (Math.abs(clock.now() - atMs) > limits.clockSkewMs)
      throw new FmtpError('FMTP_UNAUTHORIZED', `made at ${atMs}`)
    const key = accounts.isOwn(as) ? accounts.findDeviceKey(as, proof.jws.kid) : undefined
    if (key === undefined) throw new FmtpError('FMTP_UNAUTHORIZED', `${proof.jws.kid} is no device of ${as}`)
    if (!(await verifierOf(key).verify(proof.jws.input, proof.jws.signature)))
      throw new FmtpError('FMTP_UNAUTHORIZED', 'wrong signature')
    return as
  }

  /** What did not come yet is brought at once, for users of ours. */
  async function bringFor(sha256: string, asker: Asker): Promise<FoundBlob | undefined> {
    const id = asker.viewers.length === 0 ? undefined : await shelf.findComing(sha256, asker)
    if (id === undefined) return undefined
    await ports.bring(sha256, id)
    const blob = await shelf.findAs(sha256, id, asker)
    if (blob === undefined) throw new FmtpError('FMTP_NOT_HERE', `${sha256} of ${id}`)
    return blob
  }

  router.put('/blobs/:sha256', async context => {
    await ports.spend(context)
    const sha256 = requireName(context.params.sha256)
    const user = await findUser(context)
    if (user === undefined) throw new FmtpError('FMTP_UNAUTHORIZED', 'no Authorization')
    const bytes = context.request.length
    const isNew = await shelf.put(sha256, user, { source: context.req, bytes })
    context.status = isNew ? 201 : 200
    context.body = { sha256 }
  })

  router.get('/blobs/:sha256', async context => {
    await ports.spend(context)
    const sha256 = requireName(context.params.sha256)
    const { s } = context.query
    const viewer = await findUser(context)
    const asker = {
      secret: typeof s === 'string' ? s : undefined,
      viewers: viewer === undefined ? [] : [viewer],
    }
    const blob = (await shelf.find(sha256, asker)) ?? (await bringFor(sha256, asker))
    if (blob === undefined) throw new FmtpError('FMTP_ABSENT', sha256)
    setHeaders(context, sha256, blob)
    if (context.fresh) {
      context.status = 304
      return
    }
    const range = readRange(context.get('Range'), blob.bytes)
    if (range === 'none') {
      context.set('Content-Range', `bytes */${blob.bytes}`)
      context.status = 416
      context.body = ''
      return
    }
    const { start, end } = range ?? { start: 0, end: blob.bytes - 1 }
    if (range !== undefined) {
      context.status = 206
      context.set('Content-Range', `bytes ${start}-${end}/${blob.bytes}`)
    }
    context.length = end - start + 1
    context.body = blob.bytes === 0 ? '' : Readable.from(shelf.read(sha256, { start, end }))
    context.length = end - start + 1
  })
}

function requireName(text: string | undefined): string {
  if (text === undefined || !namePattern.test(text)) throw new FmtpError('FMTP_BAD_NAME', text)
  return text
}

function setHeaders(context: Koa.Context, sha256: string, { format, name, isPublic }: FoundBlob): void {
  const isShown = shown.test(format)
  const file = name === undefined ? '' : `; filename*=UTF-8''${encodeName(name)}`
  context.status = 200
  context.etag = sha256
  context.set({
    'Accept-Ranges': 'bytes',
    'Access-Control-Allow-Origin': '*',
    'Cache-Control': `${isPublic ? 'public' : 'private'}, max-age=31536000, immutable`,
    'Content-Disposition': `${isShown ? 'inline' : 'attachment'}${file}`,
    'Content-Security-Policy': "default-src 'none'; sandbox",
    'Content-Type': isShown ? format : 'application/octet-stream',
    'X-Content-Type-Options': 'nosniff',
  })
}

/** RFC 8187: everything but a few characters as percent signs. */
function encodeName(name: string): string {
  return encodeURIComponent(name.toWellFormed()).replaceAll(
    /['()*]/g,
    each => `%${each.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

/** One range of bytes (RFC 9110 §14). `undefined`: all of them; 'none': there are no such bytes. */
function readRange(header: string, bytes: number): BlobRange | undefined | 'none' {
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header) ?? []
  if (first === '' && last === '') return undefined
  const start = first === '' ? Math.max(0, bytes - Number(last)) : Number(first)
  const end = first === '' || last === '' ? bytes - 1 : Math.min(Number(last), bytes - 1)
  return start > end || start >= bytes ? 'none' : { start, end }
}
