/** The address of a database whose statements may take hours, as those over millions of rows do; the line's end after a minute. */
export function unhurried(url: string): string {
  const address = new URL(url);
  address.searchParams.set("query_timeout", String(2 ** 31 - 1));
  return address.href;
}
