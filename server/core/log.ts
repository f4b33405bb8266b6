/** Log records: JSON lines on standard error, readable lines on a terminal. */
import pino from 'pino'

type Write = (record: Readonly<Record<string, unknown>>, event: string) => void

/** `event` names what happened, in words of the protocol; the record says to whom. */
export interface Log {
  readonly debug: Write
  readonly info: Write
  readonly warn: Write
  readonly error: Write
  /** False where making a debug record would be wasted. */
  readonly isDebug: boolean
}

export interface LogOptions {
  readonly level: string
  readonly format: 'auto' | 'json' | 'pretty'
}

/** Writes are synchronous: what was logged before a crash is there after it. */
export async function createLog(options: LogOptions): Promise<Log> {
  const isPretty = options.format === 'pretty' || (options.format === 'auto' && process.stderr.isTTY === true)
  const base: pino.LoggerOptions = {
    messageKey: 'event',
    level: options.level,
    base: {},
    timestamp: pino.stdTimeFunctions.isoTime,
  }
  if (!isPretty) return wrap(pino(base, pino.destination({ dest: 2, sync: true })))
  // Loaded when used: servers under a supervisor never need it.
  const { default: pretty } = await import('pino-pretty')
  return wrap(pino(base, pretty({ destination: 2, sync: true, ignore: 'pid,hostname', messageKey: 'event' })))
}

function wrap(logger: pino.Logger): Log {
  return {
    debug: (record, event) => logger.debug(record, event),
    info: (record, event) => logger.info(record, event),
    warn: (record, event) => logger.warn(record, event),
    error: (record, event) => logger.error(record, event),
    isDebug: logger.isLevelEnabled('debug'),
  }
}
