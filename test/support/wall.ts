/**
 * The firewall of `hosts.ts`: stateful, in the router between the hosts. Nobody calls a host behind it but who is named for
 * that, and such a host calls nobody else. And what can go wrong on the way, without a word to either side: cut links,
 * connections that stand still, hosts that take no packet, answers of which the end is lost.
 */
import type { Namespace } from './namespace.ts'

const rules = `
table inet wall {
  set inside { type ipv4_addr; }
  set mayCall { type ipv4_addr . ipv4_addr; }
  set nameServers { type ipv4_addr; }
  set dark { type ipv4_addr; }
  set cut { type ipv4_addr . ipv4_addr; }
  set stalled { type ipv4_addr . ipv4_addr . mark; }
  chain generation { ct state new ct mark set 1; }
  chain short { }
  chain forward {
    type filter hook forward priority 0; policy drop;
    jump generation
    ip saddr . ip daddr @cut drop
    ip saddr . ip daddr . ct mark @stalled drop
    jump short
    ct state established,related accept
    ip daddr @nameServers accept
    ip saddr . ip daddr @mayCall accept
    ip saddr @inside reject with icmpx admin-prohibited
    ip daddr @inside drop
    ip daddr @dark drop
    accept
  }
}`

export class Wall {
  readonly #router: Namespace
  #generation = 1

  private constructor(router: Namespace) {
    this.#router = router
  }

  static async build(router: Namespace): Promise<Wall> {
    const wall = new Wall(router)
    await wall.#tell(rules)
    return wall
  }

  /** Everybody may ask it. */
  nameServer(address: string): Promise<void> {
    return this.#add('nameServers', address)
  }

  /** From now on this host calls these alone, and only who names it so calls it. */
  async shelter(address: string, mayCall: readonly string[]): Promise<void> {
    await this.#add('inside', address)
    for (const other of mayCall) await this.#add('mayCall', `${address} . ${other}`)
  }

  /** No packet reaches this host. */
  darken(address: string): Promise<void> {
    return this.#add('dark', address)
  }

  /** No packet passes between these two, in either direction, until `mend`. */
  async cut(one: string, other: string): Promise<void> {
    await this.#add('cut', `${one} . ${other}`)
    await this.#add('cut', `${other} . ${one}`)
  }

  async mend(one: string, other: string): Promise<void> {
    await this.#tell(`delete element inet wall cut { ${one} . ${other}, ${other} . ${one} }`)
  }

  /** Nothing passes over the connections that are open between these two, for ever; new ones are well. */
  async stall(one: string, other: string): Promise<void> {
    const marks = Array.from({ length: this.#generation++ }, (_, index) => index + 1)
    const pairs = marks.flatMap(mark => [`${one} . ${other} . ${mark}`, `${other} . ${one} . ${mark}`])
    await this.#tell(`
flush chain inet wall generation
add rule inet wall generation ct state new ct mark set ${this.#generation}
add element inet wall stalled { ${pairs.join(', ')} }`)
  }

  /** Of what one host sends to another so many bytes pass from now on, and nothing after them, until `restore`. */
  shorten(from: string, to: string, bytes: number): Promise<void> {
    return this.#tell(
      `add rule inet wall short ip saddr ${from} ip daddr ${to} quota over ${bytes} bytes drop`,
    )
  }

  restore(): Promise<void> {
    return this.#tell('flush chain inet wall short')
  }

  /** Takes the whole firewall away: what a test would not notice, it does not test. */
  async tearDown(): Promise<void> {
    await this.#tell('delete table inet wall')
  }

  #add(set: string, element: string): Promise<void> {
    return this.#tell(`add element inet wall ${set} { ${element} }`)
  }

  async #tell(text: string): Promise<void> {
    await this.#router.run(`nft -f - <<'END'\n${text}\nEND`)
  }
}
