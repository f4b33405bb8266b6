/** Reads a conversation file: the zone, the servers, the people, what is said and what must happen, in plain words. */
import { FmtpError } from '../../schemas/failures.ts'
import { type Address, type Domain, parseAddress, parseDomain } from '../../schemas/text/names.ts'

export interface ServerRole {
  readonly name: string
  readonly domain: Domain
  /** Host name, whose address the zone gives. */
  readonly host: string
}

export interface PersonRole {
  readonly address: Address
  /** `host:port` that the person's user object names. */
  readonly contact?: string
  /** True when the person's device listens there. */
  readonly isListening: boolean
}

export interface Said {
  readonly from: Address
  readonly to: Address
  readonly text: string
}

export interface Conversation {
  /** Zone records; a TXT value `the key of DOMAIN` stands for that server's real record. */
  readonly zone: readonly string[]
  readonly servers: readonly ServerRole[]
  readonly people: readonly PersonRole[]
  readonly said: readonly Said[]
  /** The lines that must be shown, without times. */
  readonly happens: readonly string[]
}

/** @throws {FmtpError} FMTP_CONFIG with the line that is not understood */
export function parseConversation(text: string): Conversation {
  const parts = new Map<string, string[]>()
  let part: string[] = []
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue
    if (line.startsWith(' ')) part.push(line.trim())
    else {
      part = []
      parts.set(line.trim(), part)
    }
  }
  const section = (heading: string): readonly string[] => parts.get(heading) ?? []
  return {
    zone: section('The zone'),
    servers: section('The servers').map(parseServer),
    people: section('The people').map(parsePerson),
    said: section('What is said').map(parseSaid),
    happens: section('What happens'),
  }
}

function parseServer(line: string): ServerRole {
  const [, name, domain, host] = /^(\S+) +serves (\S+) +at (\S+)$/.exec(line) ?? []
  if (name === undefined || host === undefined) throw notUnderstood(line, 'NAME serves DOMAIN at HOST')
  return { name, domain: parseDomain(domain), host }
}

function parsePerson(line: string): PersonRole {
  const [, address, , verb, contact] =
    /^(\S+) +is at home(, and (names|listens at) (\S+:\d+)(?: where nobody listens)?)?$/.exec(line) ?? []
  if (address === undefined) throw notUnderstood(line, 'ADDRESS is at home, and listens at HOST:PORT')
  return {
    address: parseAddress(address),
    ...(contact === undefined ? {} : { contact }),
    isListening: verb === 'listens at',
  }
}

function parseSaid(line: string): Said {
  const [, from, to, text] = /^(\S+) to (\S+): (.+)$/.exec(line) ?? []
  if (text === undefined) throw notUnderstood(line, 'ADDRESS to ADDRESS: TEXT')
  return { from: parseAddress(from), to: parseAddress(to), text }
}

function notUnderstood(line: string, form: string): FmtpError {
  return new FmtpError('FMTP_CONFIG', `"${line}" is not of the form: ${form}`)
}
