/** Opening the store of a data folder: the engine with the layouts of rows that are known here (docs/architecture.md). */
import { Database, type DatabaseWatch } from './engine/database.ts'
import type { ListName } from './layout.ts'
import { isUpgradable, storeVersion, type UpgradeProgress, upgrade } from './upgrade/upgrade.ts'

/** How a store is opened, and what happens to it, for who logs it. */
export interface StoreOptions extends DatabaseWatch {
  /** True: an older one is opened as it is, by who only copies it. */
  readonly keepsVersion?: boolean
  /** It is of an older version, and is brought to the present one. */
  onUpgrade?(progress: UpgradeProgress): void
}

/**
 * Opens or makes a store, and brings an older one to the present version first. `onAppended` is called after each commit
 * with the lists that grew.
 * @throws {FmtpError} FMTP_STORE when another process has it, or its version is not known here
 */
export function openDatabase(
  folder: string,
  onAppended: (lists: ReadonlySet<ListName>) => void,
  newEpoch: () => string,
  { keepsVersion = false, onUpgrade, ...watch }: StoreOptions = {},
): Promise<Database> {
  const versions = {
    current: storeVersion,
    isUpgradable,
    upgrade: (database: Database) => upgrade(database, Date.now(), progress => onUpgrade?.(progress)),
  }
  return Database.open(folder, { onAppended, newEpoch, versions, keepsVersion, watch })
}
