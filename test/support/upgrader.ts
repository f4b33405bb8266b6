/** A process that opens a data folder, upgrades its store, and says how far it is: to be killed at any moment. */
import { openDatabase } from '../../objects/store/open.ts'

const database = await openDatabase(
  process.argv[2] ?? '',
  () => undefined,
  () => 'epoch',
)
await database[Symbol.asyncDispose]()
process.stdout.write('upgraded\n')
