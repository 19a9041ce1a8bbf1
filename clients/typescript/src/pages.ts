/**
 * Lists that come in pages.
 */

/** One page of a list. */
export interface Page<Item> {
  items: Item[];
  /** Empty on the last page. */
  nextPageToken: string;
}

/** Fetch page after page and return all items. */
export async function allPages<Item>(fetch: (pageToken: string) => Promise<Page<Item>>): Promise<Item[]> {
  const items: Item[] = [];
  let token = "";
  do {
    const page = await fetch(token);
    items.push(...page.items);
    token = page.nextPageToken;
  } while (token !== "");
  return items;
}
