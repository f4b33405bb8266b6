/**
 * Taking devices away from a user (protocol §6.3): by the user's own word, `revokedKeys`, or by the operator's. At once
 * here; elsewhere when the last credential of the key has ended. What the key sealed is sealed again (`resealing.ts`).
 */

import type { Write } from '../../objects/store/engine/write.ts'
import { keyOf } from '../../objects/store/layout.ts'
import type { User } from '../../schemas/kinds/user.ts'

/** Told when the commit is on the disk. */
export type OnRevoked = (address: string, thumbprints: readonly string[]) => void

/** The devices of a user that its own object says are not its own any more. */
export function findRevoked(user: Pick<User, 'revokedKeys'>, devices: readonly string[]): readonly string[] {
  const revoked = new Set(user.revokedKeys)
  return devices.filter(thumbprint => revoked.has(thumbprint))
}

/** Ends the enrolment of these devices, and notes that their objects are to be sealed again. */
export function revocationWrite(
  address: string,
  thumbprints: readonly string[],
): Required<Pick<Write, 'puts' | 'dels'>> {
  return {
    puts: thumbprints.map(thumbprint => [keyOf.resealing(address, thumbprint), '0'] as const),
    dels: thumbprints.map(thumbprint => keyOf.device(address, thumbprint)),
  }
}
