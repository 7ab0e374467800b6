import { referenceProblem, references, resolveEnvironment } from './references.ts'
import type { Path } from './problems.ts'
import type { Surroundings } from './reading.ts'

/** A text of the file; `line` is the longer text it was split from. */
export interface Part { readonly text: string, readonly path: Path, readonly line?: string }

/** Checks the references of one text and replaces those to the environment. */
export function readText ({ text, path, line }: Part, isolation: string, { env, report }: Surroundings): string {
  const problem = (message: string, offset: number): void => report.problem(path, message, line === undefined ? offset : Math.max(0, line.indexOf(text.slice(offset).replace(/(?<=\}).*$/s, ''))))
  if (text.includes('\0')) report.problem(path, 'contains a NUL character')
  let usable = true
  for (const reference of references(text)) {
    const mistake = referenceProblem(reference) ?? (reference.kind === 'user' && isolation === 'shared' ? `\${user.${reference.name}} has no meaning with "isolation: shared", where one process serves everybody` : undefined)
    if (mistake !== undefined) problem(mistake, reference.offset)
    usable &&= mistake === undefined
  }
  return usable ? resolveEnvironment(text, env, problem) : text
}
