import { Command } from 'commander'
import { collect } from './options.ts'
import { inSession } from './session.ts'
import type { CommandContext } from './session.ts'
import { USUAL_ROLES, addUser, changeRoles, listUsers, resetPassword, setDisabled } from './user.ts'

interface Common { readonly config?: string }

/** `portcullis user …` */
export function userCommands (context: CommandContext): Command {
  const { configOption } = context
  const user = new Command('user')
  user.command('add <name>')
    .description('create a user; the password is asked for, read with --password-stdin, or generated and printed once')
    .option('--role <role>', `give a role (repeatable; without it ${USUAL_ROLES.join(', ')}, where the configuration has that role, else none)`, collect)
    .option('--password-stdin', 'read the password from standard input')
    .addOption(configOption())
    .action(async (name: string, { config, role, passwordStdin }: Common & { role?: string[], passwordStdin?: boolean }) => {
      await inSession(context, config, async (session) => await addUser(session, name, { roles: role, passwordStdin }))
    })
  user.command('list').description('list the users').option('--json', 'for scripts').addOption(configOption())
    .action(async ({ config, json }: Common & { json?: boolean }) => await inSession(context, config, async (session) => await listUsers(session, { json })))
  user.command('role <name>')
    .description('change the roles of a user')
    .option('--add <role>', 'give a role (repeatable)', collect, [])
    .option('--remove <role>', 'take a role (repeatable)', collect, [])
    .option('--set <roles>', 'replace all roles by these, separated by commas', (text: string) => text.split(',').map((role) => role.trim()).filter(Boolean))
    .addOption(configOption())
    .action(async (name: string, { config, ...change }: Common & { add: string[], remove: string[], set?: string[] }) => {
      await inSession(context, config, async (session) => await changeRoles(session, name, change))
    })
  user.command('disable <name>').description('end all sessions and refuse the user from now on').addOption(configOption())
    .action(async (name: string, { config }: Common) => await inSession(context, config, async (session) => await setDisabled(session, name, true)))
  user.command('enable <name>').description('let a disabled user in again').addOption(configOption())
    .action(async (name: string, { config }: Common) => await inSession(context, config, async (session) => await setDisabled(session, name, false)))
  user.command('passwd <name>')
    .description('set a new password; ends all logins of the user')
    .option('--password-stdin', 'read the password from standard input')
    .addOption(configOption())
    .action(async (name: string, { config, passwordStdin }: Common & { passwordStdin?: boolean }) => {
      await inSession(context, config, async (session) => await resetPassword(session, name, { passwordStdin }))
    })
  return user
}
