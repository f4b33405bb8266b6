/**
 * What is answered to a datagram (protocol §4.8): a public object that is here, to anybody, and never more bytes than came.
 * Who sent it is not known, so that nothing is counted, kept or looked up for its sake but how often its network asks.
 */
import type { Clock } from '../../objects/clock.ts'
import { soughtId } from '../../routing/lookup/query.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { AnswerFrame, RequestFrame } from '../../schemas/frame.ts'
import { limits } from '../../schemas/limits.ts'
import { type Name, type ObjectId, ownerOf } from '../../schemas/text/names.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'
import { encodeAnswer, findFrame } from '../../wire/datagram.ts'
import { type Answer, failureAnswer } from '../../wire/pairing.ts'
import type { Reveal } from '../exchange/reveal.ts'
import { networkOf } from '../limits/rates.ts'

export interface DatagramsPorts {
  readonly clock: Clock
  readonly findFor: Reveal['findFor']
  isOwn(name: Name): boolean
  /** True for an address that no limit counts for. */
  isExempt(remote: string): boolean
  /** Notes that a network was not answered. */
  onRefused(network: string): void
  onFailed(thrown: unknown): void
}

const networksMost = 10_000
const everybody = 'all networks'

/** The answer to a datagram from an IP address; `undefined`: silence. Never throws. */
export function createDatagrams(
  ports: DatagramsPorts,
): (datagram: Uint8Array, remote: string) => Uint8Array | undefined {
  const buckets = new BoundedMap<string, Bucket>(networksMost)
  const all: Bucket = { left: limits.datagramsInAll, atMs: ports.clock.now() }

  /** A network that asks too much leaves the others their part. */
  function mayAsk(remote: string): boolean {
    if (ports.isExempt(remote)) return true
    const network = networkOf(remote)
    const nowMs = ports.clock.now()
    const bucket = buckets.get(network) ?? { left: limits.datagramsBurst, atMs: nowMs }
    buckets.set(network, bucket)
    const isOver = !take(bucket, nowMs, limits.datagramsPerSecond, limits.datagramsBurst)
    const refused = isOver ? network : everybody
    if (!isOver && take(all, nowMs, limits.datagramsInAll, limits.datagramsInAll)) return true
    ports.onRefused(refused)
    return false
  }

  function answer(request: RequestFrame): Answer & Pick<AnswerFrame, 'object'> {
    const { address, id, list, blob, follow } = request
    const isOne = (address === undefined) !== (id === undefined)
    if (!isOne || list !== undefined || blob !== undefined || follow !== undefined) return useStream
    const sought = soughtId(id === undefined ? { address: address as Name } : { id: id as ObjectId })
    const object = ports.findFor(sought, [])
    if (object !== undefined) return { outcome: 'found', object }
    const isOurs = ports.isOwn(ownerOf(sought))
    const failure = failureAnswer(new FmtpError(isOurs ? 'FMTP_ABSENT' : 'FMTP_NOT_HERE'))
    return { ...failure, outcome: isOurs ? 'absent' : 'unreachable' }
  }

  return (datagram, remote) => {
    const { length } = datagram
    if (length < limits.datagramBytes || length > limits.datagramBytesMost || !mayAsk(remote))
      return undefined
    const frame = findFrame(datagram)
    if (frame?.verb !== 'request') return undefined
    try {
      const head = { verb: 'answer', re: frame.n } as const
      const bytes = encodeAnswer({ ...head, ...answer(frame) })
      return bytes.length <= length ? bytes : encodeAnswer({ ...head, ...useStream })
    } catch (thrown) {
      ports.onFailed(thrown)
      return undefined
    }
  }
}

const useStream = failureAnswer(new FmtpError('FMTP_USE_STREAM'))

/** What may be asked now, and since when it fills again. A source may be false: what is kept of it has no timer, and a bound. */
interface Bucket {
  left: number
  atMs: number
}

/** Takes one. False where there is none left. */
function take(bucket: Bucket, nowMs: number, perSecond: number, most: number): boolean {
  // A clock that was set back fills nothing.
  const filled = (Math.max(0, nowMs - bucket.atMs) / 1000) * perSecond
  bucket.left = Math.min(most, bucket.left + filled)
  bucket.atMs = nowMs
  if (bucket.left < 1) return false
  bucket.left--
  return true
}
