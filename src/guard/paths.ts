/**
 * Places in a value, as `audit.redact` names them: `$.customer.email`, `$.items.*.iban`. `*` stands for any member and
 * any item. What is left of each path on the way down is all that has to be known.
 */
export type Paths = readonly (readonly string[])[]

export function isPath (text: string): boolean {
  return text.startsWith('$.')
}

/** The paths among these texts, without the `$`. */
export function compilePaths (texts: readonly string[]): Paths {
  return texts.filter(isPath).map((text) => text.slice(2).split('.'))
}

/** What is left of the paths that lead through this member. A path that ends here is empty. */
export function follow (paths: Paths, member: string): Paths {
  return paths.length === 0 ? paths : paths.filter(([first]) => first === '*' || first === member).map(([, ...rest]) => rest)
}

export function endsHere (paths: Paths): boolean {
  return paths.some((path) => path.length === 0)
}

/** A member that must be there for the path to lead anywhere, in lower case; empty when any will do. */
export function landmark (text: string): string {
  return text.slice(2).split('.').findLast((segment) => segment !== '*')?.toLowerCase() ?? ''
}
