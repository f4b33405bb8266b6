/**
 * The certificate that all servers of tests have. What stands in it proves nothing (protocol §4.2), and to make one takes a
 * quarter of a second: it is made once in a build, and kept beside the compiled tests for all their processes.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Certificate, makeCertificate } from '../../objects/seals/certificate.ts'

const file = fileURLToPath(new URL('certificate.json', import.meta.url))
let shared: Promise<Certificate> | undefined

export function sharedCertificate(): Promise<Certificate> {
  shared ??= findOrMake()
  return shared
}

async function findOrMake(): Promise<Certificate> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Certificate
  } catch {
    const certificate = await makeCertificate('localhost', Date.now())
    // Others may be at it: whoever reads finds a whole one.
    writeFileSync(`${file}.${process.pid}`, JSON.stringify(certificate), { mode: 0o600 })
    renameSync(`${file}.${process.pid}`, file)
    return certificate
  }
}
