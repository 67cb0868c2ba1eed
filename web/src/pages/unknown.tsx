// An address that is none of a page.

import { pageKeys } from "../parts/keys.ts";
import { linkTo } from "../parts/location.ts";
import { useReady } from "../parts/ready.ts";

export function UnknownPage({ name }: { name: string }) {
  useReady(true);
  return (
    <>
      <h1>No such page</h1>
      <p class="note warn" role="alert">
        There is no page “{name}”. The address may be that of another version, or not be whole. These are the pages:
      </p>
      <ul>
        {pageKeys.map((p) => (
          <li key={p.page}>
            <a href={linkTo(p.page)}>{p.title}</a>
          </li>
        ))}
      </ul>
    </>
  );
}
