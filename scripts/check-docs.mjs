/** Says where the documentation is not true: links that lead nowhere, files, npm scripts and environment variables that do not exist. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

import { root } from './setup.mjs'

const pages = [
  ...readdirSync(root).filter(name => name.endsWith('.md')),
  ...readdirSync(join(root, 'docs'), { recursive: true }).filter(name => name.endsWith('.md')).map(name => join('docs', name)),
]
const { scripts } = JSON.parse(read('package.json'))
const variables = read('src/config/environment.ts')

const problems = pages.flatMap(page => read(page).split('\n').flatMap((line, index) => {
  const found = [...brokenLinks(page, line), ...missingFiles(line), ...unknownScripts(line), ...unknownVariables(line)]
  return found.map(problem => `${page}:${index + 1} ${problem}`)
}))
for (const problem of problems) console.error(problem)
console.log(`${pages.length} pages, ${problems.length} problems`)
process.exitCode = problems.length === 0 ? 0 : 1

function brokenLinks (page, line) {
  return [...line.matchAll(/\]\((?!https?:|mailto:)([^)\s]*)\)/g)].flatMap(([, link]) => {
    const [path, anchor] = link.split('#')
    const file = path === '' ? join(root, page) : resolve(root, dirname(page), path)
    if (!existsSync(file)) return [`leads nowhere: ${link}`]
    if (anchor === undefined || !file.endsWith('.md')) return []
    return anchorsOf(file).has(anchor) ? [] : [`no such heading in ${relative(root, file)}: #${anchor}`]
  })
}

/** Files and folders of the project that the text names as code. */
function missingFiles (line) {
  return [...line.matchAll(/`((?:src|plugins|db|test|bench|scripts|docs|docker|schema|\.ci)\/[\w./-]*)/g)]
    .filter(([, path]) => !existsSync(join(root, path)))
    .map(([, path]) => `no such file: ${path}`)
}

/** Headings as GitHub turns them into anchors, and anchors written out. */
function anchorsOf (file) {
  const text = readFileSync(file, 'utf8')
  const headings = [...text.matchAll(/^#+ +(.*)$/gm)].map(([, title]) => title.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').trim().replaceAll(/\s/g, '-'))
  return new Set([...headings, ...[...text.matchAll(/<a (?:id|name)="([^"]+)"/g)].map(([, id]) => id)])
}

function unknownScripts (line) {
  return [...line.matchAll(/\bnpm run ([a-z:-]+)/g)].filter(([, name]) => scripts[name] === undefined).map(([, name]) => `no such script: npm run ${name}`)
}

function unknownVariables (line) {
  return [...line.matchAll(/\bPORTCULLIS_[A-Z_]+\b(?!…)/g)]
    .map(([name]) => name)
    .filter(name => !variables.includes(name) && !read('src/errors.ts').includes(name) && !read('docker-compose.yml').includes(name))
    .map(name => `neither an environment variable nor a refusal: ${name}`)
}

function read (file) {
  return readFileSync(join(root, file), 'utf8')
}
