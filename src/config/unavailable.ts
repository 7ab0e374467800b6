import type { Path } from './problems.ts'

interface Row { readonly path: readonly string[], readonly sentence: string }

/** What the design of the file foresees and this version does not do: refused by name, so that nobody relies on it. `*` is any one step. */
const rows: readonly Row[] = [
  { path: ['guards', 'secrets'], sentence: 'secret detection is not available in this version; add patterns to "guards.deny", and argument names to "audit.redact"' },
]

/** Why a key that is not in the schema is refused, when it is one of the foreseen ones. */
export function unavailableKey (path: Path): string | undefined {
  return rows.find((row) => fits(row.path, path))?.sentence
}

/** Whether a path has this shape; `*` stands for any one step. */
export function fits (shape: readonly string[], path: Path): boolean {
  return shape.length === path.length && shape.every((step, index) => step === '*' || step === path[index])
}
