/** `fmtp user list`, `user add`, `user show`, `user delete`: the users of a server, as its operator sees them. */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { FmtpError } from '../../../schemas/failures.ts'
import { runAction } from '../../control/client.ts'
import type { ActionPorts } from '../../operator/action.ts'
import type {
  AddResult,
  DeleteResult,
  DeletionResult,
  UserResult,
  UsersResult,
} from '../../operator/users.ts'
import { confirmAddress } from './confirm.ts'
import { operate } from './operator.ts'
import { formatCount } from './progress.ts'

const usage =
  'usage: fmtp user list | user add ADDRESS | user show ADDRESS | user delete ADDRESS [--yes] [--force]'

export async function user(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      config: { type: 'string', default: 'fmtp.conf' },
      yes: { type: 'boolean', default: false },
      force: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  const [verb = '', address, more] = positionals
  if (more !== undefined || (address === undefined) !== (verb === 'list'))
    throw new FmtpError('FMTP_BAD_NAME', usage)
  const config = resolve(values.config)
  const act = <R extends object>(
    name: string,
    given: object,
    tell: (result: R) => string,
  ): Promise<number> => {
    const work = async (ports: ActionPorts): Promise<R> => {
      try {
        return (await runAction(config, name, { ...given }, ports)) as R
      } catch (thrown) {
        if (name === 'user delete' && ports.signal.aborted)
          throw new FmtpError('FMTP_DISCONNECTED', `${goesOn}: fmtp user show ${address}`)
        throw thrown
      }
    }
    return operate(name, values.json, work, tell)
  }
  switch (verb) {
    case 'list':
      return act<UsersResult>('user list', {}, tellUsers)
    case 'add':
      return act<AddResult>('user add', { address }, tellAdded)
    case 'show':
      return act<UserResult>('user show', { address }, tellUser)
    case 'delete':
      if (!values.yes && !(await confirmAddress(String(address), deleting))) return 1
      return act<DeleteResult>('user delete', { address, isForced: values.force }, tellDeleted)
    default:
      throw new FmtpError('FMTP_BAD_NAME', usage)
  }
}

const deleting =
  'All that this user wrote is erased, here and wherever it was sent. That can not be undone, and the address is never given out again.'

const goesOn = 'what has begun goes on without you; look how far it is with'

function tellUsers({ users }: UsersResult): string {
  if (users.length === 0) return 'there are no users'
  return users.map(({ address, state }) => (state === 'here' ? address : `${address}  ${state}`)).join('\n')
}

function tellAdded({ address, link }: AddResult): string {
  return `${address}\n  link  ${link}\n        works once, for a day:  npx fmtp login LINK`
}

function tellUser({ address, state, createdAt, devices, boxBytes, blobBytes, deletion }: UserResult): string {
  const lines = [
    `${address}  made ${createdAt}`,
    ...(state === 'here'
      ? [
          `  ${devices} ${devices === 1 ? 'device' : 'devices'}, ${formatCount(boxBytes)} bytes in the box, ${formatCount(blobBytes)} bytes of blobs`,
        ]
      : []),
    ...(deletion === undefined ? [] : tellDeletion(deletion)),
  ]
  return lines.join('\n')
}

function tellDeletion({ startedAt, erasedAt, endedAt, copies }: DeletionResult): string[] {
  const { objects, all, erased, waiting } = copies
  const here = erasedAt === undefined ? 'objects are being erased here' : `erased here ${erasedAt}`
  const wait = waiting === 0 ? '' : `, ${formatCount(waiting)} not heard of yet`
  return [
    `  deleted ${startedAt}, ${here}${endedAt === undefined ? '' : `, all done ${endedAt}`}`,
    `  ${formatCount(objects)} objects; at other servers erased at ${formatCount(erased)} of ${formatCount(all)}${wait}`,
  ]
}

function tellDeleted(result: DeleteResult): string {
  const then = result.isErased
    ? []
    : ['No server runs. Log-ins have ended; all else is erased when the server starts.']
  return [tellUser(result), ...then].join('\n')
}
