/** The one-time log-in link (protocol §5.7): `<origin>/login#<address>.<token>.<thumbprint of the domain key>`. */
import { FmtpError } from '../schemas/failures.ts'
import { type Address, parseAddress } from '../schemas/text/names.ts'

export interface LoginLink {
  /** Where the server answers HTTP and WebSocket, e.g. `http://localhost:8080`. */
  readonly origin: string
  readonly address: Address
  readonly token: string
  /** RFC 7638 thumbprint of the domain's key: whoever answers must prove it. */
  readonly thumbprint: string
}

export function formatLink({ origin, address, token, thumbprint }: LoginLink): string {
  return `${origin}/login#${address}.${token}.${thumbprint}`
}

const fragmentPattern = /^(.{3,220})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})$/u

/** @throws {FmtpError} FMTP_BAD_NAME when the text is no log-in link */
export function parseLink(text: string): LoginLink {
  if (!URL.canParse(text)) throw new FmtpError('FMTP_BAD_NAME', 'not a link')
  const url = new URL(text)
  const [, address, token, thumbprint] = fragmentPattern.exec(decodeFragment(url)) ?? []
  const isWeb = url.protocol === 'http:' || url.protocol === 'https:'
  if (!isWeb || address === undefined || token === undefined || thumbprint === undefined) {
    throw new FmtpError('FMTP_BAD_NAME', 'not a log-in link')
  }
  return { origin: url.origin, address: parseAddress(address), token, thumbprint }
}

/** Empty where its percent signs are broken. */
function decodeFragment(url: URL): string {
  try {
    return decodeURIComponent(url.hash.slice(1))
  } catch {
    return ''
  }
}
