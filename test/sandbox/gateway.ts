// Stands for a gateway process that is killed: starts one cell with the command it is given, and prints what the cell prints.
import { realHost } from '../../src/sandbox/host.ts'
import { openSandbox } from '../../src/sandbox/sandbox.ts'
import { specFor } from './cells.ts'

const mode = process.env['TEST_SANDBOX'] === 'landlock' ? 'landlock' : 'bubblewrap'
const machine = realHost('/usr/local/bin:/usr/bin:/bin')
const sandbox = openSandbox(mode, { allowUnsandboxed: false, host: { ...machine, tool: (name) => name === 'setpriv' ? process.env['TEST_SETPRIV'] ?? machine.tool(name) : machine.tool(name) } })
const cell = await sandbox.spawn(specFor(process.argv.slice(2), { sandbox: { mode } }))
cell.stdout.pipe(process.stdout)
cell.stderr.pipe(process.stderr)
cell.exited.then(() => process.exit(), () => {})
