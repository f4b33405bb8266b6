/** The certificate of the TCP listener (protocol §4.2), made at the first start and kept beside the store. */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Certificate, makeCertificate } from '../../objects/seals/certificate.ts'
import { writeKeyFile } from '../accounts/key-file.ts'

export async function openCertificate(folder: string, name: string, nowMs: number): Promise<Certificate> {
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  if (existsSync(certFile) && existsSync(keyFile)) {
    return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') }
  }
  const certificate = await makeCertificate(name, nowMs)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  // The pair is there when both are: a certificate whose key was lost must not stand beside a new key.
  rmSync(certFile, { force: true })
  writeKeyFile(keyFile, certificate.key)
  writeKeyFile(certFile, certificate.cert)
  return certificate
}
