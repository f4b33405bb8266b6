/** Every command in one table, with the line that `fmtp help` shows. Each loads its own file when it runs. */

export interface Command {
  readonly name: string
  readonly takes: string
  readonly does: string
  /** Resolves with the exit status. */
  run(args: string[]): Promise<number>
}

const commands: readonly Command[] = [
  {
    name: 'serve',
    takes: '[--config FILE] [--user ADDRESS]… [--link]',
    does: 'runs the server; makes a config for localhost on first use',
    run: async args => (await import('./operator/serve.ts')).serve(args),
  },
  {
    name: 'backup',
    takes: 'FOLDER [--config FILE] [--json]',
    does: 'saves config, keys and store to a new folder, also while the server runs',
    run: async args => (await import('./operator/backup.ts')).backup(args),
  },
  {
    name: 'restore',
    takes: 'FOLDER [--config FILE] [--data FOLDER] [--json]',
    does: 'puts a backup back where no config and no data is',
    run: async args => (await import('./operator/backup.ts')).restore(args),
  },
  {
    name: 'verify',
    takes: '[--config FILE] [--json] [--repair]',
    does: 'rereads every object, index and blob, also while the server runs; --repair makes indexes anew, without it',
    run: async args => (await import('./operator/verify.ts')).verify(args),
  },
  {
    name: 'check',
    takes: '[--seen DOMAIN] [--config FILE] [--json]',
    does: 'checks server, DNS, hosts, keys and queue, up to a real round trip; --seen acknowledges keys that changed',
    run: async args => (await import('./operator/check.ts')).check(args),
  },
  {
    name: 'key',
    takes: 'list [DOMAIN] | rotate [DOMAIN] [--now] | retire SELECTOR [--force]  [--config FILE] [--json]',
    does: "shows a domain's keys, begins the change to a new one, deletes an old one",
    run: async args => (await import('./operator/key.ts')).key(args),
  },
  {
    name: 'device',
    takes: 'list ADDRESS | revoke ADDRESS THUMBPRINT  [--config FILE] [--json]',
    does: "shows a user's devices, or takes away one that was lost",
    run: async args => (await import('./operator/device.ts')).device(args),
  },
  {
    name: 'user',
    takes: 'list | add ADDRESS | show ADDRESS | delete ADDRESS [--yes] [--force]  [--config FILE] [--json]',
    does: 'shows users, makes one with a log-in link, deletes one with all that it wrote, everywhere',
    run: async args => (await import('./operator/user.ts')).user(args),
  },
  {
    name: 'queue',
    takes: '[DOMAIN] | show ID | retry DOMAIN  [--config FILE] [--json]',
    does: 'shows what waits for other domains and why, or what became of one object; tries again now',
    run: async args => (await import('./operator/queue.ts')).queue(args),
  },
  {
    name: 'trace',
    takes: 'ADDRESS | DOMAIN | --id ID  [--as DOMAIN] [--guest] [--dns SERVER]… [--config FILE] [--json]',
    does: 'shows the way to somebody: each question, connection and hello, how long it took and why it failed',
    run: async args => (await import('./operator/trace.ts')).trace(args),
  },
  {
    name: 'stats',
    takes: '[--config FILE] [--json]',
    does: 'shows what the limits of the running server refused, and to whom',
    run: async args => (await import('./operator/stats.ts')).stats(args),
  },
  {
    name: 'demo',
    takes: '[--conversation FILE] [--keep]',
    does: 'plays the first conversation between two servers on loopback',
    run: async args => (await import('../demo/demo.ts')).demo(args),
  },
  {
    name: 'login',
    takes: 'LINK',
    does: 'enrols this device with a log-in link',
    run: async args => (await import('./people/login.ts')).login(args),
  },
  {
    name: 'send',
    takes: 'ADDRESS[,ADDRESS…] TEXT [--subject S] [--reply ID [--all]] [--attach FILE]…',
    does: 'sends a message; TEXT - reads it from standard input; --all answers everybody, and adds ADDRESS, which may be left out',
    run: async args => (await import('./people/send.ts')).send(args),
  },
  {
    name: 'post',
    takes: 'TITLE TEXT [--group ADDRESS] [--tag T]… [--reply ID] [--private]',
    does: 'publishes a post for all readers; TEXT - reads it from standard input',
    run: async args => (await import('./people/post.ts')).post(args),
  },
  {
    name: 'group',
    takes:
      'make ADDRESS [--title T] [--private] [--member A]… | show ADDRESS | add ADDRESS WHO… | remove ADDRESS WHO…',
    does: 'makes a forum, or with --private a room; shows it; changes who belongs to it',
    run: async args => (await import('./people/group.ts')).group(args),
  },
  {
    name: 'get',
    takes: 'ADDRESS | --id ID [--save FOLDER] [--states]',
    does: "shows somebody's object, wherever it is; --save writes its attachments to files, --states shows who has yours",
    run: async args => (await import('./people/get.ts')).get(args),
  },
  {
    name: 'list',
    takes:
      '[box | public | thread] [--owner ADDRESS] [--top ID] [--kind KIND] [--newest] [--limit N] [--after CURSOR]',
    does: 'lists objects, oldest first as they came; --newest as they were made',
    run: async args => (await import('./people/list.ts')).list(args),
  },
  {
    name: 'follow',
    takes: '[--all]',
    does: 'shows what arrives in your box, as it arrives',
    run: async args => (await import('./people/list.ts')).follow(args),
  },
  {
    name: 'contact',
    takes: '[HOST:PORT… | --clear]',
    does: 'shows or sets where your devices can be reached directly',
    run: async args => (await import('./people/contact.ts')).contact(args),
  },
  {
    name: 'listen',
    takes: '[--bind ADDRESS:PORT] [--dns SERVER]',
    does: 'stays logged in and takes objects, also directly at ADDRESS:PORT',
    run: async args => (await import('./people/listen.ts')).listen(args),
  },
  {
    name: 'zone',
    takes: '[DOMAIN] [--config FILE] | FILE --bind ADDRESS:PORT',
    does: 'prints the DNS records that your domains need; with --bind serves a small zone, for tests on one machine',
    run: async args => (await import('./operator/zone.ts')).zone(args),
  },
  {
    name: 'help',
    takes: '',
    does: 'shows this',
    run: async () => {
      process.stdout.write(usage())
      return 0
    },
  },
]

export function findCommand(name: string): Command | undefined {
  const wanted = name === '--help' || name === '-h' ? 'help' : name
  return commands.find(command => command.name === wanted)
}

export function usage(): string {
  const lines = commands.map(
    ({ name, takes, does }) => `  ${`fmtp ${name} ${takes}`.trimEnd()}\n      ${does}`,
  )
  return `fmtp COMMAND …\n\n${lines.join('\n')}\n\nCommands of people take --as ADDRESS where several are logged in, and --json.\n`
}
