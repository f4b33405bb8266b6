/**
 * Self-made certificates for FMTP over TCP (protocol §4.2). Their names prove nothing: a hello's proof is bound to the
 * channel instead. node-forge builds the certificate; node:crypto makes the RSA key, which forge does slowly.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto'

export interface Certificate {
  /** PEM. */
  readonly cert: string
  /** PEM. */
  readonly key: string
}

const yearMs = 365 * 24 * 60 * 60 * 1000

/** A certificate of its own issuer for `name`, good for ten years. Takes about 100 ms, most of it for the RSA key. */
export async function makeCertificate(
  name: string,
  nowMs: number,
  random: (bytes: number) => Buffer = randomBytes,
): Promise<Certificate> {
  // Loaded when used: a server makes one certificate in its life.
  const { default: forge } = await import('node-forge')
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey)
  // A leading 01 keeps the number positive and its encoding short, whatever chance gives: OpenSSL takes no other.
  certificate.serialNumber = `01${random(16).toString('hex')}`
  certificate.validity.notBefore = new Date(nowMs - 24 * 60 * 60 * 1000)
  certificate.validity.notAfter = new Date(nowMs + 10 * yearMs)
  const subject = [{ name: 'commonName', value: name.slice(0, 64) }]
  certificate.setSubject(subject)
  certificate.setIssuer(subject)
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false },
    { name: 'subjectAltName', altNames: [{ type: 2, value: name }] },
  ])
  certificate.sign(forge.pki.privateKeyFromPem(privateKey), forge.md.sha256.create())
  return { cert: forge.pki.certificateToPem(certificate), key: privateKey }
}
