/** A config from its values, as a file would give them. */
import type { Config } from '../../schemas/config.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { checkConfig, formatProblem } from '../../schemas/validate.ts'

/** @throws {FmtpError} FMTP_CONFIG, with one line for each problem */
export function parseConfig(value: unknown): Config {
  const { config, problems } = checkConfig(value)
  if (config === undefined) throw new FmtpError('FMTP_CONFIG', problems.map(formatProblem).join('\n'))
  return config
}
