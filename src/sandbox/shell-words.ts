/** Words for a POSIX shell, each taken as it is. */
export function shellWords (words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')
}

/** An environment as assignments that a POSIX shell reads; names must be those of variables. */
export function shellAssignments (env: Readonly<Record<string, string>>): string {
  return Object.entries(env).map(([name, value]) => `${name}=${shellWords([value])}\n`).join('')
}
