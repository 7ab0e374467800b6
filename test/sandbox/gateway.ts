// Stands for a gateway process that is killed: starts one cell with the command it is given, and prints what the cell prints.
import { machineSandbox, specFor } from './cells.ts'

const mode = process.env['TEST_SANDBOX'] === 'landlock' ? 'landlock' : 'bubblewrap'
const cell = await machineSandbox(mode).spawn(specFor(process.argv.slice(2), { sandbox: { mode } }))
cell.stdout.pipe(process.stdout)
cell.stderr.pipe(process.stderr)
cell.exited.then(() => process.exit(), () => {})
