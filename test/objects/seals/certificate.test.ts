import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { makeCertificate } from '../../../objects/seals/certificate.ts'

const dayMs = 24 * 60 * 60 * 1000

describe('certificate', () => {
  const nowMs = Date.UTC(2026, 10, 20)

  it('is of its own key, for its name, from yesterday to ten years on', async () => {
    const { cert, key } = await makeCertificate('poe.net', nowMs)
    const certificate = new X509Certificate(cert)
    assert.equal(certificate.checkPrivateKey(createPrivateKey(key)), true)
    assert.equal(certificate.verify(certificate.publicKey), true)
    assert.equal(certificate.checkHost('poe.net'), 'poe.net')
    assert.equal(certificate.checkHost('lenore.org'), undefined)
    assert.equal(certificate.ca, false)
    assert.equal(Date.parse(certificate.validFrom), nowMs - dayMs)
    assert.equal(Date.parse(certificate.validTo), nowMs + 3650 * dayMs)
  })

  it('is one that TLS takes, whatever chance gives for its number', async () => {
    for (const byte of [0, 1, 127, 128, 255]) {
      const pair = await makeCertificate('poe.net', nowMs, bytes => Buffer.alloc(bytes, byte))
      assert.doesNotThrow(() => createSecureContext(pair), `bytes of ${byte}`)
    }
  })

  it('has a number of its own, and names longer than a common name may be', async () => {
    const name = `${'raven-'.repeat(9)}nest.${'usher-'.repeat(9)}house.example`
    const [one, other] = await Promise.all([makeCertificate(name, nowMs), makeCertificate(name, nowMs)])
    assert.notEqual(new X509Certificate(one.cert).serialNumber, new X509Certificate(other.cert).serialNumber)
    assert.equal(new X509Certificate(one.cert).checkHost(name), name)
  })
})
