/**
 * fmtp.conf from file to frozen Config: syntax, shape, rules between keys, paths. Whatever is wrong is told with
 * file, line and key, all of one kind at once, so that an operator does not learn of errors one by one.
 */

import { readFileSync } from 'node:fs'
import { BlockList } from 'node:net'
import { dirname, resolve } from 'node:path'
import type { Config } from '../../schemas/config.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { findEndpoint, findParentRule, isIpv4 } from '../../schemas/text/formats.ts'
import { checkConfig, formatPath, formatProblem, type Path, type Problem } from '../../schemas/validate.ts'
import { findNearest } from './nearest.ts'
import { readSyntax, type Trouble } from './syntax.ts'

/** A configuration that came from a file: paths in it are absolute, and it is frozen at all depths. */
export type LoadedConfig = Config & {
  /** Absolute path of the file. */
  readonly file: string
}

/** A config of people fills a few kilobytes; more is a wrong file. */
const fileBytes = 1024 * 1024

/**
 * The configuration of a file.
 * @throws {FmtpError} FMTP_CONFIG, with a line `file:line: key: what is wrong` for each problem. Rules between
 * keys are looked at when all keys have the right shape.
 */
export function loadConfig(file: string): LoadedConfig {
  const syntax = readSyntax(readText(file))
  if (!syntax.ok) throw configError(file, syntax.troubles)
  const { tree, lineOf } = syntax

  const { config, problems } = checkConfig(tree)
  if (config === undefined) {
    throw configError(
      file,
      problems.map(problem => ({ line: lineOf(problem.keys), text: tellProblem(problem) })),
    )
  }
  const conflicts = findConflicts(config)
  if (conflicts.length > 0) {
    throw configError(
      file,
      conflicts.map(({ keys, text }) => ({ line: lineOf(keys), text: `${formatPath(keys)}: ${text}` })),
    )
  }
  return deepFreeze(resolvePaths(config, resolve(file)))
}

/** The fmtp.conf that a first start writes: a server for one domain on loopback. */
export function islandConfig(domain: string): string {
  return `# Configuration of an FMTP server; fmtp.conf.example explains all keys.
# As it is, only this machine reaches the server: an island, to try it out.

data = "data"                 # folder of the store and the keys, beside this file

[[domain]]
name = ${JSON.stringify(domain)}

[listen]
tcp = ["127.0.0.1:3687"]      # other servers and clients
http = ["127.0.0.1:8080"]     # pages and the web client
`
}

function readText(file: string): string {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(file)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    const text = code === 'ENOENT' ? 'no such file' : `can not be read (${code})`
    throw new FmtpError('FMTP_CONFIG', `${file}: ${text}`, { cause })
  }
  if (bytes.length > fileBytes) {
    throw new FmtpError('FMTP_CONFIG', `${file}: expected at most ${fileBytes} bytes, found ${bytes.length}`)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new FmtpError('FMTP_CONFIG', `${file}: not text in UTF-8`, { cause })
  }
}

function configError(file: string, troubles: readonly Trouble[]): FmtpError {
  const lines = troubles
    .toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0))
    .map(({ line, text }) => `${file}:${line === undefined ? '' : `${line}:`} ${text}`)
  return new FmtpError('FMTP_CONFIG', lines.join('\n'))
}

function tellProblem(problem: Problem): string {
  const text = formatProblem(problem)
  const nearest = findNearest(String(problem.keys.at(-1)), problem.known ?? [])
  return nearest === undefined ? text : `${text}; did you mean ${nearest}?`
}

interface Conflict {
  readonly keys: Path
  readonly text: string
}

/** What is wrong between keys that are each well-formed. */
function findConflicts(config: Config): readonly Conflict[] {
  return [
    ...findTwins(config),
    ...findOwnParents(config),
    ...findPlainHttp(config),
    ...findLoneHalves(config),
    ...findTightLimits(config),
  ]
}

function findTwins({ domain }: Config): Conflict[] {
  const names = domain.map(({ name }) => name)
  return names.flatMap((name, index) => {
    const first = names.indexOf(name)
    if (first === index) return []
    return [{ keys: ['domain', index, 'name'], text: `${name} is already domain[${first}]` }]
  })
}

/** Nobody climbs higher by asking itself. */
function findOwnParents({ domain, parents }: Config): Conflict[] {
  return parents.flatMap((text, index) => {
    const parent = findParentRule(text)?.parent
    if (!domain.some(({ name }) => name === parent)) return []
    return [{ keys: ['parents', index], text: `${parent} is a domain of this server` }]
  })
}

/** Passwords and log-in links go over HTTP: beyond this machine only encrypted. */
function findPlainHttp({ http, listen }: Config): Conflict[] {
  if (http.behindProxy || http.certificate !== '') return []
  return listen.http.flatMap((endpoint, index) =>
    isLoopback(endpoint)
      ? []
      : [
          {
            keys: ['listen', 'http', index],
            text: `expected a loopback address for plain HTTP, found ${endpoint}; give http.certificate and http.key, or set http.behindProxy = true when a proxy in front speaks HTTPS`,
          },
        ],
  )
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

function isLoopback(text: string): boolean {
  const endpoint = findEndpoint(text)
  if (endpoint === undefined) return false
  return loopback.check(endpoint.address, isIpv4(endpoint.address) ? 'ipv4' : 'ipv6')
}

function findLoneHalves({ http: { certificate, key } }: Config): Conflict[] {
  if (certificate !== '' && key === '') {
    return [{ keys: ['http', 'certificate'], text: 'needs http.key, the private key that belongs to it' }]
  }
  if (key !== '' && certificate === '') {
    return [{ keys: ['http', 'key'], text: 'needs http.certificate, the certificate that belongs to it' }]
  }
  return []
}

/** An object that fits no frame could be stored but never sent. */
function findTightLimits({ limits: { objectBytes, frameBytes, windowBytes } }: Config): Conflict[] {
  const conflicts: Conflict[] = []
  if (frameBytes <= objectBytes) {
    const text = `expected more than limits.objectBytes (${objectBytes}), found ${frameBytes}`
    conflicts.push({ keys: ['limits', 'frameBytes'], text })
  }
  if (windowBytes < frameBytes) {
    const text = `expected at least limits.frameBytes (${frameBytes}), found ${windowBytes}`
    conflicts.push({ keys: ['limits', 'windowBytes'], text })
  }
  return conflicts
}

function resolvePaths(config: Config, file: string): LoadedConfig {
  const folder = dirname(file)
  const resolveIfGiven = (path: string) => (path === '' ? '' : resolve(folder, path))
  return {
    ...config,
    data: resolve(folder, config.data),
    kinds: resolveIfGiven(config.kinds),
    http: {
      ...config.http,
      certificate: resolveIfGiven(config.http.certificate),
      key: resolveIfGiven(config.http.key),
    },
    tls: { ...config.tls, ca: resolveIfGiven(config.tls.ca) },
    file,
  }
}

function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) if (typeof part === 'object' && part !== null) deepFreeze(part)
  return Object.freeze(value)
}
