/** A command line that was not understood: an option, a value or an argument that is wrong or missing. Its message says what is right. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
