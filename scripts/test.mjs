/** `npm test`: makes ready what is missing, checks the types, runs the tests. `npm test -- test/x.test.ts` runs one file. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

import { root, run, setup } from './setup.mjs'

setup()
const types = run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json', '--noEmit', '--incremental', '--tsBuildInfoFile', 'node_modules/.cache/portcullis/types.tsbuildinfo'])
if (types !== 0) process.exit(types)
const readsTypes = Number(process.versions.node.split('.')[0]) >= 22
if (!readsTypes) process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} --import ${pathToFileURL(join(root, 'scripts/read-types.mjs'))}`.trim()
process.exit(run(process.execPath, [join(root, 'node_modules/.bin/tap'), ...process.argv.slice(2)], { stdio: 'inherit' }))
