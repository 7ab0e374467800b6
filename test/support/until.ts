/** Waits until `check` holds, looking every 20 ms for at most `ms`; a test's only way to wait for something. */
export async function until (check: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  const end = Date.now() + ms
  while (!await check()) {
    if (Date.now() > end) throw new Error(`it did not happen within ${ms} ms: ${check.toString()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
