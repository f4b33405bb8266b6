/** HTTP and WebSocket: that each listener answers, and with a certificate for the right names that does not end soon. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type IncomingMessage, request as requestPlain } from 'node:http'
import { request as requestTls } from 'node:https'
import { isIP } from 'node:net'
import { rootCertificates, type TLSSocket } from 'node:tls'
import { hostPort } from '../../routing/connect/round-trips.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { HealthResult, Place } from '../operator/health.ts'
import { fail, ok, reasonOf, skip, type Verdict, warn } from './finding.ts'
import { reachable } from './round-trip.ts'

const dayMs = 86_400_000
const warnDays = 14
const fileTodo = 'Renew http.certificate and http.key, and start the server again.'

/** Each HTTP listener answers `/healthz`. */
export async function checkHttp(
  { http }: Pick<LoadedConfig, 'http'>,
  { listeners }: HealthResult,
  signal: AbortSignal,
): Promise<readonly Verdict[]> {
  if (listeners.http.length === 0) return [skip('listen.http is empty')]
  return Promise.all(
    listeners.http.map(async place => {
      const where = hostPort(place.address, place.port)
      try {
        const { status } = await getHealth(place, http.certificate !== '', signal)
        if (status === 200) return ok(`${where} answers`)
        return fail(`${where} answers ${status} to /healthz`, 'Does another program listen there?')
      } catch (thrown) {
        return fail(`${where}: ${reasonOf(thrown)}`, 'Look at the log of the server.')
      }
    }),
  )
}

/** The file of `http.certificate`: names, end, key; and that the server serves this very one. */
export async function checkCertificate(
  config: Pick<LoadedConfig, 'http' | 'listen' | 'domain' | 'tls'>,
  health: HealthResult | undefined,
  { nowMs, signal }: { readonly nowMs: number; readonly signal: AbortSignal },
): Promise<readonly Verdict[]> {
  const { certificate: file, behindProxy } = config.http
  if (file === '')
    return [skip(behindProxy ? 'not checked: the proxy in front has it' : 'plain HTTP, on loopback alone')]
  const certificate = new X509Certificate(readFileSync(file))
  const verdicts = [
    ...ofTime(certificate, nowMs),
    ...ofNames(certificate, config),
    ...ofKey(certificate, config),
  ]
  const ca = config.tls.ca === '' ? [] : [readFileSync(config.tls.ca, 'utf8')]
  const servername = namesOf(config).find(name => isIP(name.replace(/^\[(.*)\]$/, '$1')) === 0)
  verdicts.push(...(await ofServed(certificate, health, { signal, ca, ...(servername && { servername }) })))
  if (verdicts.length > 0) return verdicts
  return [ok(`${file} is good until ${endOf(certificate)} for ${namesOf(config).join(', ')}`)]
}

function endOf({ validTo }: X509Certificate): string {
  return new Date(validTo).toISOString()
}

function ofTime(certificate: X509Certificate, nowMs: number): Verdict[] {
  const [fromMs, untilMs] = [certificate.validFrom, certificate.validTo].map(text => Date.parse(text))
  if (fromMs === undefined || untilMs === undefined || Number.isNaN(fromMs + untilMs))
    return [fail('the certificate does not say from when until when it is good', fileTodo)]
  if (untilMs <= nowMs) return [fail(`the certificate has ended at ${endOf(certificate)}`, fileTodo)]
  if (fromMs > nowMs) return [fail(`the certificate is good only from ${certificate.validFrom} on`, fileTodo)]
  const days = Math.floor((untilMs - nowMs) / dayMs)
  if (days < warnDays)
    return [warn(`the certificate ends in ${days} days, at ${endOf(certificate)}`, fileTodo)]
  return []
}

/** Names under which people come: those of `listen.hosts` and `http.originUrl`, else the domains. */
function namesOf({ http, listen, domain }: Pick<LoadedConfig, 'http' | 'listen' | 'domain'>): string[] {
  const named = [...listen.hosts, ...(http.originUrl === '' ? [] : [new URL(http.originUrl).hostname])]
  return [...new Set(named.length > 0 ? named : domain.map(({ name }) => name))]
}

function ofNames(
  certificate: X509Certificate,
  config: Pick<LoadedConfig, 'http' | 'listen' | 'domain'>,
): Verdict[] {
  const missing = namesOf(config).filter(name => {
    const host = name.replace(/^\[(.*)\]$/, '$1')
    return (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) === undefined
  })
  if (missing.length === 0) return []
  return [fail(`the certificate is not for ${missing.join(', ')}`, 'Get one that has these names as well.')]
}

function ofKey(certificate: X509Certificate, { http }: Pick<LoadedConfig, 'http'>): Verdict[] {
  if (certificate.checkPrivateKey(createPrivateKey(readFileSync(http.key)))) return []
  return [fail(`${http.key} is the key of another certificate`, fileTodo)]
}

/** A server reads its certificate when it starts. */
async function ofServed(
  certificate: X509Certificate,
  health: HealthResult | undefined,
  { signal, ...trust }: Trust & { readonly signal: AbortSignal },
): Promise<Verdict[]> {
  const [place] = health?.listeners.http ?? []
  if (place === undefined) return []
  const { fingerprint, distrust } = await getHealth(place, true, signal, trust)
  if (fingerprint !== certificate.fingerprint256)
    return [
      warn(
        'the server shows another certificate than the one in the file',
        'Start it again, so that it reads the new one.',
      ),
    ]
  if (distrust === undefined || toldBefore.has(distrust)) return []
  return [
    warn(
      `no browser believes the certificate: ${distrust}`,
      'Put the certificates between it and its authority behind it in the same file. Of an authority of your own: tls.ca.',
    ),
  ]
}

/** What is wrong with time and names is told with the dates and the names. */
const toldBefore: ReadonlySet<string> = new Set([
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'ERR_TLS_CERT_ALTNAME_INVALID',
])

interface Trust {
  /** Name under which people come. */
  readonly servername?: string
  readonly ca: readonly string[]
}

interface Health {
  readonly status: number | undefined
  readonly fingerprint?: string
  /** Code for which a client would leave. */
  readonly distrust?: string
}

function getHealth(
  { address, port }: Place,
  isTls: boolean,
  signal: AbortSignal,
  { servername, ca }: Trust = { ca: [] },
): Promise<Health> {
  const options = { host: reachable(address), port, path: '/healthz', signal, agent: false, timeout: 5000 }
  return new Promise((resolve, reject) => {
    const take = (response: IncomingMessage): void => {
      response.resume()
      const status = response.statusCode
      resolve(isTls ? { status, ...seenOn(response.socket as TLSSocket) } : { status })
    }
    const request = isTls
      ? // Which one it is, is what is looked at.
        requestTls(
          {
            ...options,
            ...(servername && { servername }),
            ca: [...rootCertificates, ...ca],
            rejectUnauthorized: false,
          },
          take,
        )
      : requestPlain(options, take)
    request.on('error', cause => reject(new FmtpError('FMTP_CONNECT_FAILED', cause.message, { cause })))
    request.on('timeout', () => request.destroy(new FmtpError('FMTP_TIMEOUT', 'no answer in 5 s')))
    request.end()
  })
}

function seenOn(socket: TLSSocket): Omit<Health, 'status'> {
  const fingerprint = socket.getPeerCertificate().fingerprint256
  // Node gives the code where its types promise an error.
  const error = socket.authorizationError as Error | string | null | undefined
  const distrust = error instanceof Error ? ((error as { code?: string }).code ?? error.message) : error
  return { fingerprint, ...(distrust && !socket.authorized ? { distrust } : {}) }
}
