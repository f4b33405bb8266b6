/** A process that opens a data folder, upgrades its store, and says how far it is: to be killed at any moment. */
import { Database } from '../../objects/store/engine/database.ts'

const database = await Database.open(
  process.argv[2] ?? '',
  () => undefined,
  () => 'epoch',
)
await database[Symbol.asyncDispose]()
process.stdout.write('upgraded\n')
