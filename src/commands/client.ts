import { readFileSync } from 'node:fs'

import { Command } from 'commander'

import { listClients } from '../../db/oauth-clients.ts'
import { addMachineClient, removeMachineClient } from '../identity/machine-clients.ts'
import { inSession } from './session.ts'
import type { CommandContext } from './session.ts'
import { table } from './table.ts'

interface Common { readonly config?: string }

/** `portcullis client …` */
export function clientCommands (context: CommandContext): Command {
  const { configOption } = context
  const client = new Command('client')
  client.command('add <name>')
    .description('add a program that acts by itself (client credentials); its secret is printed once')
    .requiredOption('--role <role>', 'what it may do (repeatable)', (value: string, before: string[] | undefined) => [...before ?? [], value])
    .option('--jwks <file>', 'its public keys, instead of a secret (private_key_jwt)')
    .addOption(configOption())
    .action(async (name: string, { config, role, jwks }: Common & { role: string[], jwks?: string }) => await inSession(context, config, async ({ database, config: { roles, server }, audit, out }) => {
      const unknown = role.find((each) => !roles.has(each))
      if (unknown !== undefined) throw new Error(`There is no role ${JSON.stringify(unknown)} in upstreams.yaml.`)
      const { secret } = await addMachineClient({ db: database.db, audit, now: Date.now }, { name, roles: role, ...(jwks !== undefined && { jwks: readKeys(jwks) }) }, 'cli')
      out(`Client ${name} was added with the role ${role.join(', ')}. It gets tokens at ${server.publicUrl}/oauth/token.\n`)
      if (secret !== undefined) out(`Secret (shown this once): ${secret}\n`)
    }))
  client.command('list').description('list the clients').option('--json', 'for scripts').addOption(configOption())
    .action(async ({ config, json }: Common & { json?: boolean }) => await inSession(context, config, async ({ database, out }) => {
      const rows = await listClients(database.db)
      if (json === true) return out(`${JSON.stringify(rows, null, 2)}\n`)
      out(table(['CLIENT', 'NAME', 'KIND', 'SINCE', 'LAST LET IN'], rows.map((row) => [row.clientId, row.name ?? '-', row.source === 'admin' ? 'machine' : 'registered itself', row.createdAt.toISOString().slice(0, 10), row.lastUsedAt?.toISOString().slice(0, 10) ?? '-'])))
    }))
  client.command('remove <name>').description('remove a program that acts by itself; refused everywhere within a second').addOption(configOption())
    .action(async (name: string, { config }: Common) => await inSession(context, config, async ({ database, audit, out }) => {
      await removeMachineClient({ db: database.db, audit }, name, { source: 'cli' })
      out(`Client ${name} is removed.\n`)
    }))
  return client
}

/** A JWK Set of public keys. Throws an Error that says what the file should hold. */
function readKeys (file: string): { keys: object[] } {
  const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'))
  const keys = typeof parsed === 'object' && parsed !== null && 'keys' in parsed ? parsed.keys : [parsed]
  if (!Array.isArray(keys) || keys.length === 0 || keys.some((key) => typeof key !== 'object' || key === null || !('kty' in key))) throw new Error(`${file} must hold a JWK or a JWK Set.`)
  if (keys.some((key: object) => 'd' in key || 'k' in key)) throw new Error(`${file} holds a private or secret key: give the public half, and keep the private one where the program runs.`)
  return { keys: keys as object[] }
}
