/** The response of a call that lists. */
interface Page {
  readonly nextPageToken: string;
}

/** The largest page that a server returns. */
const maxPageSize = 1000;

/** Yields the elements of all pages as they arrive, at most `limit`. */
export async function* allPages<P extends Page, T>(
  list: (page: { pageSize: number; pageToken: string }) => Promise<P>,
  elements: (page: P) => readonly T[],
  limit = Number.POSITIVE_INFINITY,
): AsyncGenerator<T> {
  let left = limit;
  let pageToken = "";
  while (left > 0) {
    const page = await list({ pageSize: Math.min(left, maxPageSize), pageToken });
    for (const element of elements(page).slice(0, left)) {
      yield element;
      left--;
    }
    pageToken = page.nextPageToken;
    if (pageToken === "") return;
  }
}
