#!/usr/bin/env -S node --min-semi-space-size=32 --max-semi-space-size=64 --use-largepages=silent --no-memory-reducer
import { Command, CommanderError, Option } from 'commander'
import { check } from './commands/check.ts'
import { auditCommands } from './commands/audit-commands.ts'
import { clientCommands } from './commands/client.ts'
import { connectCommand } from './commands/connect.ts'
import { dbCommands } from './commands/db.ts'
import { doctorCommand } from './commands/doctor.ts'
import { explainCommand } from './commands/explain.ts'
import { keyCommands } from './commands/key.ts'
import { pinCommand } from './commands/pin.ts'
import { tokenCommands } from './commands/token-commands.ts'
import { UsageError } from './commands/usage-error.ts'
import { userCommands } from './commands/user-commands.ts'
import { ConfigError, environment, formatProblem, loadConfig } from './config/config.ts'
import { Refusal } from './errors.ts'
import { version } from './version.ts'

const out = (text: string): void => { process.stdout.write(text) }
const complain = (text: string): void => { process.stderr.write(text) }

process.exitCode = await run(process.argv)

/** Runs one command line. @returns the exit code: 0 done, 1 it could not be done, 2 it was not understood */
async function run (argv: string[]): Promise<number> {
  try {
    await program().parseAsync(argv)
    return Number(process.exitCode ?? 0)
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    complain(`${explain(error)}\n`)
    return error instanceof UsageError ? 2 : 1
  }
}

function program (): Command {
  const portcullis = new Command('portcullis')
    .description('The security guard between AI assistants and the tools they use.')
    .version(version)
    .showSuggestionAfterError()
    .showHelpAfterError('(portcullis help lists the commands)')
    .exitOverride()
  portcullis.command('serve')
    .description('run the gateway')
    .addOption(configOption())
    .option('--allow-unsandboxed', 'run upstreams that say `sandbox: none`', false)
    .action(async ({ config, allowUnsandboxed }: { config?: string, allowUnsandboxed: boolean }) => {
      const { serve } = await import('./main.ts') // the other commands start faster without it
      await serve(loadConfig(environment(), { file: config, allowUnsandboxed }), out)
    })
  portcullis.command('check')
    .description('explain every mistake in the configuration')
    .addOption(configOption())
    .option('--json', 'for scripts', false)
    .option('--allow-unsandboxed', 'accept upstreams that say `sandbox: none`', false)
    .action(async ({ config, json, allowUnsandboxed }: { config?: string, json: boolean, allowUnsandboxed: boolean }) => {
      process.exitCode = await check({ env: environment(), ...(config === undefined ? {} : { file: config }), json, allowUnsandboxed, out })
    })
  for (const group of [userCommands, tokenCommands, clientCommands, keyCommands, auditCommands, dbCommands]) portcullis.addCommand(inherit(group({ env: environment(), out, configOption })))
  for (const command of [connectCommand, doctorCommand, explainCommand, pinCommand]) portcullis.addCommand(inherit(command({ env: environment(), out, configOption })))
  return portcullis
}

/** Sub-commands report mistakes the way the program does. */
function inherit (command: Command): Command {
  command.exitOverride().showSuggestionAfterError().showHelpAfterError()
  for (const sub of command.commands) inherit(sub)
  return command
}

function configOption (): Option {
  return new Option('-c, --config <file>', 'upstreams.yaml to use (default: PORTCULLIS_CONFIG, or ./upstreams.yaml)')
}

/** What went wrong, in words; stack traces are for the log of the gateway. */
function explain (error: unknown): string {
  if (error instanceof ConfigError) return error.problems.map(formatProblem).join('\n')
  if (error instanceof Refusal) return `portcullis: ${error.message} (${error.code})`
  return `portcullis: ${error instanceof Error ? error.message : String(error)}`
}
