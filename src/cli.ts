#!/usr/bin/env -S node --min-semi-space-size=32 --max-semi-space-size=64 --use-largepages=silent --no-memory-reducer --single-threaded-gc
import { Command, CommanderError, Option } from 'commander'
import { catalogue } from './commands/catalogue.ts'
import { UsageError } from './commands/usage-error.ts'
import { environment } from './config/environment.ts'
import { ConfigError, formatProblem } from './config/problems.ts'
import { Refusal } from './errors.ts'
import { version } from './version.ts'

const out = (text: string): void => { process.stdout.write(text) }
const complain = (text: string): void => { process.stderr.write(text) }

process.exitCode = await run(process.argv)

/** Runs one command line. @returns the exit code: 0 done, 1 it could not be done, 2 it was not understood */
async function run (argv: string[]): Promise<number> {
  try {
    const portcullis = await program(argv)
    await portcullis.parseAsync(argv)
    return Number(process.exitCode ?? 0)
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    complain(`${explain(error)}\n`)
    return error instanceof UsageError ? 2 : 1
  }
}

async function program (argv: readonly string[]): Promise<Command> {
  const portcullis = new Command('portcullis')
    .description('The security guard between AI assistants and the tools they use.')
    .version(version)
    .showSuggestionAfterError()
    .showHelpAfterError('(portcullis help lists the commands)')
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .exitOverride()
  portcullis.command('serve')
    .description('run the gateway')
    .addOption(configOption())
    .option('--allow-unsandboxed', 'run upstreams that say `sandbox: none`', false)
    .action(async ({ config, allowUnsandboxed }: { config?: string, allowUnsandboxed: boolean }) => {
      const [{ serve }, { loadConfig }] = await Promise.all([import('./main.ts'), import('./config/config.ts')])
      await serve(loadConfig(environment(), { file: config, allowUnsandboxed }), out)
    })
  portcullis.command('check')
    .description('explain every mistake in the configuration')
    .addOption(configOption())
    .option('--json', 'for scripts', false)
    .option('--allow-unsandboxed', 'accept upstreams that say `sandbox: none`', false)
    .action(async ({ config, json, allowUnsandboxed }: { config?: string, json: boolean, allowUnsandboxed: boolean }) => {
      const { check } = await import('./commands/check.ts')
      process.exitCode = await check({ env: environment(), ...(config === undefined ? {} : { file: config }), json, allowUnsandboxed, out })
    })
  for (const [name, { summary, load }] of Object.entries(catalogue)) {
    // One that is not named is only listed.
    const command = argv.includes(name) ? (await load())({ env: environment(), out, configOption }) : new Command(name)
    portcullis.addCommand(inherit(command.description(summary)))
  }
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
