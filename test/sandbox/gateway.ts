// Stands for a gateway process that is killed: starts one cell with the command it is given, and prints what the cell prints.
import { openSandbox } from '../../src/sandbox/sandbox.ts'
import { specFor } from './cells.ts'

const cell = await openSandbox('bubblewrap', { allowUnsandboxed: false }).spawn(specFor(process.argv.slice(2)))
cell.stdout.pipe(process.stdout)
cell.stderr.pipe(process.stderr)
cell.exited.then(() => process.exit(), () => {})
