/** `fmtp group`: a forum or room of one's own domain (protocol §6.8): made, shown, and who belongs to it. Its home seals it. */
import { parseArgs } from 'node:util'
import type { Connection } from '../../../client/connection.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import type { Group } from '../../../schemas/kinds/group.ts'
import { type Address, makeObjectId, parseAddress } from '../../../schemas/text/names.ts'
import { answerError } from '../../../wire/pairing.ts'
import { connectDevice } from './connect.ts'
import { requireDevice } from './identity.ts'
import { clean } from './list.ts'

const usage =
  'usage: fmtp group make ADDRESS --title TITLE, show ADDRESS, add ADDRESS WHO, or remove ADDRESS WHO'

export async function group(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      as: { type: 'string' },
      title: { type: 'string' },
      private: { type: 'boolean', default: false },
      member: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
    },
  })
  const [action, name, ...rest] = positionals
  if (name === undefined || (action === 'add' || action === 'remove') !== rest.length > 0)
    throw new FmtpError('FMTP_BAD_NAME', usage)
  const address = parseAddress(name)
  const people = [...new Set([...values.member, ...rest].map(parseAddress))]
  const connection = await connectDevice(requireDevice(values.as))
  try {
    if (action === 'make') await make(connection, address, { ...values, people })
    else if (action === 'add')
      await change(connection, address, each => [...new Set([...each, ...people])], true)
    else if (action === 'remove')
      await change(connection, address, each => each.filter(other => !people.includes(other)))
    else if (action !== 'show') throw new FmtpError('FMTP_BAD_NAME', usage)
    const now = await request(connection, address)
    process.stdout.write(values.json ? `${JSON.stringify(now)}\n` : shown(now))
    return 0
  } finally {
    connection.close()
  }
}

interface Making {
  readonly title?: string | undefined
  readonly private: boolean
  readonly people: readonly Address[]
}

async function make(connection: Connection, address: Address, making: Making): Promise<void> {
  const { title, people } = making
  await publish(connection, {
    id: makeObjectId('group', address),
    kind: 'group',
    ...(people.length === 0 ? {} : { members: people }),
    ...(making.private ? {} : { public: true }),
    ...(title === undefined ? {} : { title }),
  })
}

type Edit = (people: readonly Address[]) => readonly Address[]

/** Edits the members as they are now; what another moderator did meanwhile is not lost but told (FMTP_CONFLICT). */
async function change(
  connection: Connection,
  address: Address,
  edit: Edit,
  isForMembersAlone = false,
): Promise<void> {
  const { encryptedKey: _, hash: __, version, ...group } = await request(connection, address)
  const members = edit((group.members ?? []) as Address[])
  const moderators = (group.moderators ?? []) as Address[]
  const draft = { ...group, members, moderators: isForMembersAlone ? moderators : edit(moderators) }
  await publish(connection, draft, version)
}

async function publish(connection: Connection, object: object, replaces?: number): Promise<void> {
  const answer = await connection.describe({ object, ...(replaces === undefined ? {} : { replaces }) })
  if (answer.outcome !== 'stored' && answer.outcome !== 'duplicate') throw answerError(answer)
}

async function request(connection: Connection, address: Address): Promise<Group> {
  const id = makeObjectId('group', address)
  const { answer, describes } = await connection.request({ id, effort: 'lookup' })
  const [first] = describes
  if (first === undefined) throw answerError(answer)
  return first.object as Group
}

function shown(group: Group): string {
  const { owner, title = '', members = [], moderators = [] } = group
  const lines = [
    `${owner}  ${group.public === true ? 'forum' : 'room'}  ${title}`.trimEnd(),
    ...moderators.map(each => `  moderator  ${each}`),
    ...members.map(each => `  member     ${each}`),
  ]
  return lines.map(line => `${clean(line)}\n`).join('')
}
