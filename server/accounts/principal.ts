/** What a session proved to be (protocol §5.6), which decides what the three doors do for it. */
import type { Address, Domain, Name } from '../../schemas/text/names.ts'

export type Standing =
  /** Nobody in particular: public objects only. */
  | { readonly role: 'guest'; readonly remote: string }
  /** A domain, by its key in DNS. `as`: the domain of ours that it speaks with. */
  | { readonly role: 'server'; readonly name: Domain; readonly as: Domain; readonly remote: string }
  /** A user of another domain, by device key and credential. */
  | { readonly role: 'user'; readonly name: Address; readonly remote: string }
  /** A user of this server, by device key or token. */
  | { readonly role: 'client'; readonly name: Address; readonly remote: string; readonly device?: string }

export function nameOf(standing: Standing): Name | undefined {
  return standing.role === 'guest' ? undefined : standing.name
}
