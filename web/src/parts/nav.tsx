// The pages, with how many things there need a look.

import type { Page } from "../data/route.ts";
import { count } from "../format/numbers.ts";
import { cluster } from "./cluster.ts";
import { Icon, type IconName } from "./icon.tsx";
import { linkTo, route } from "./location.ts";

interface Entry {
  page: Page;
  title: string;
  /** Pages of one thing of the list. */
  detail?: Page;
}

const entries: readonly Entry[] = [
  { page: "overview", title: "Overview" },
  { page: "policies", title: "Policies", detail: "policy" },
  { page: "destinations", title: "Destinations", detail: "destination" },
  { page: "calls", title: "Live calls" },
  { page: "changes", title: "Changes" },
  { page: "problems", title: "Problems" },
  { page: "nodes", title: "Nodes" },
];

function Alarm({ page }: { page: Page }) {
  const c = cluster.value.data;
  if (!c) return null;
  if (page === "policies" && c.policies.attention > 0) return <Count n={c.policies.attention} what="need attention" tone="warn" />;
  if (page === "destinations" && c.breakersOpen > 0) return <Count n={c.breakersOpen} what="policies have open breakers" tone="bad" />;
  const away = c.agents ? c.agents.desired - c.agents.ready : 0;
  if (page === "nodes" && away > 0) return <Count n={away} what="agents are not ready" tone="bad" />;
  return null;
}

function Count({ n, what, tone }: { n: number; what: string; tone: string }) {
  return (
    <span class={`count ${tone}`} title={`${count(n)} ${what}`}>
      {count(n)}
      <span class="unseen"> {what}</span>
    </span>
  );
}

export function Nav() {
  const { page } = route.value;
  return (
    <nav class="nav" aria-label="Pages">
      <ul>
        {entries.map((e) => (
          <li key={e.page}>
            <a href={linkTo(e.page)} aria-current={page === e.page ? "page" : page === e.detail ? "true" : undefined}>
              <Icon name={e.page as IconName} />
              <span>{e.title}</span>
              <Alarm page={e.page} />
            </a>
          </li>
        ))}
      </ul>
      {cluster.value.data && <p class="version">{cluster.value.data.version}</p>}
    </nav>
  );
}
