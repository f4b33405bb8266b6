import assert from 'node:assert/strict'
import { formatLink, type LoginLink, parseLink } from '../../client/link.ts'
import { parseAddress } from '../../schemas/text/names.ts'

const token = 'T'.repeat(43)
const thumbprint = 'p'.repeat(43)

describe('a log-in link', () => {
  const links: readonly (readonly [origin: string, address: string])[] = [
    ['http://localhost:8080', 'edgar@localhost'],
    ['https://poe.net', 'edgar.allan@poe.net'],
    ['http://[::1]:8080', 'lost-one@lenore.org'],
    ['https://xn--rvn-ula.example', 'räven@xn--rvn-ula.example'],
  ]
  for (const [origin, address] of links) {
    it(`of ${address} at ${origin} is read as it was written`, () => {
      const link: LoginLink = { origin, address: parseAddress(address), token, thumbprint }
      assert.deepEqual(parseLink(formatLink(link)), link)
      // As a browser shows it.
      assert.deepEqual(parseLink(new URL(formatLink(link)).href), link)
    })
  }

  const others: readonly (readonly [what: string, text: string])[] = [
    ['nothing', ''],
    ['no link', 'edgar@poe.net'],
    ['no fragment', 'https://poe.net/login'],
    ['no token', `https://poe.net/login#edgar@poe.net.${thumbprint}`],
    ['a short token', `https://poe.net/login#edgar@poe.net.${token.slice(1)}.${thumbprint}`],
    ['no address', `https://poe.net/login#edgar.${token}.${thumbprint}`],
    ['another scheme', `file:///login#edgar@poe.net.${token}.${thumbprint}`],
    ['a script', `javascript:alert(1)#edgar@poe.net.${token}.${thumbprint}`],
    ['a broken percent sign', `https://poe.net/login#%E0%A4%A.${token}.${thumbprint}`],
  ]
  for (const [what, text] of others) {
    it(`is not ${what}`, () => {
      assert.throws(() => parseLink(text), { code: 'FMTP_BAD_NAME' })
    })
  }
})
