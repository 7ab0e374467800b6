import type { Command } from 'commander'

import { clients } from './connect-clients.ts'
import type { CommandContext } from './session.ts'

/** A command, or a group of them, as the list of all shows it, and what makes it. */
export interface Listed {
  readonly summary: string
  readonly load: () => Promise<(context: CommandContext) => Command>
}

/**
 * Everything there is beside `serve` and `check`, by name, in the order of the list. A module is read when its command is
 * asked for: the database driver alone takes longer than all that `portcullis --help` has to say.
 */
export const catalogue: Readonly<Record<string, Listed>> = {
  user: { summary: 'who may log in', load: async () => (await import('./user-commands.ts')).userCommands },
  token: { summary: 'personal access tokens, for clients that keep a header', load: async () => (await import('./token-commands.ts')).tokenCommands },
  client: { summary: 'programs that get tokens: those that act by themselves, and those that people let in', load: async () => (await import('./client.ts')).clientCommands },
  key: { summary: 'the keys that access tokens are signed with', load: async () => (await import('./key.ts')).keyCommands },
  audit: { summary: 'the record of every attempt', load: async () => (await import('./audit-commands.ts')).auditCommands },
  db: { summary: 'the database, as its owner', load: async () => (await import('./db.ts')).dbCommands },
  connect: { summary: `print, or write, what a client needs to use this gateway: ${Object.keys(clients).join(', ')}`, load: async () => (await import('./connect.ts')).connectCommand },
  doctor: { summary: 'look at everything the gateway needs, and say what is wrong and what to do', load: async () => (await import('./doctor.ts')).doctorCommand },
  explain: { summary: 'why a user may call something or not; with --replay, what another policy would change', load: async () => (await import('./explain.ts')).explainCommand },
  pin: { summary: 'what the packages of upstreams are pinned to, and what the registry has now', load: async () => (await import('./pin.ts')).pinCommand },
}
