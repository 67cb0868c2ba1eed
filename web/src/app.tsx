// The dashboard: head, pages, and what opens over them.

import { useEffect, useRef } from "preact/hooks";
import { CallsPage } from "./pages/calls.tsx";
import { ChangesPage } from "./pages/changes.tsx";
import { DestinationPage } from "./pages/destination.tsx";
import { DestinationsPage } from "./pages/destinations.tsx";
import { NodesPage } from "./pages/nodes.tsx";
import { OverviewPage } from "./pages/overview.tsx";
import { PoliciesPage } from "./pages/policies.tsx";
import { PolicyPage } from "./pages/policy.tsx";
import { ProblemsPage } from "./pages/problems.tsx";
import { UnknownPage } from "./pages/unknown.tsx";
import { Boundary } from "./parts/boundary.tsx";
import { useCluster } from "./parts/cluster.ts";
import { Header } from "./parts/header.tsx";
import { Help } from "./parts/help.tsx";
import { helping, searching, useKeys } from "./parts/keys.ts";
import { NotLive } from "./parts/live-mark.tsx";
import { route } from "./parts/location.ts";
import { Nav } from "./parts/nav.tsx";
import { Palette } from "./parts/palette.tsx";

const titles: Record<string, string> = {
  overview: "Overview",
  policies: "Policies",
  destinations: "Destinations",
  calls: "Live calls",
  changes: "Changes",
  problems: "Problems",
  nodes: "Nodes",
  unknown: "No such page",
};

function PageOf() {
  const { page, name } = route.value;
  switch (page) {
    case "policies":
      return <PoliciesPage />;
    case "policy":
      return <PolicyPage key={name} name={name} />;
    case "destinations":
      return <DestinationsPage />;
    case "destination":
      return <DestinationPage key={name} name={name} />;
    case "calls":
      return <CallsPage />;
    case "changes":
      return <ChangesPage />;
    case "problems":
      return <ProblemsPage />;
    case "nodes":
      return <NodesPage />;
    case "unknown":
      return <UnknownPage name={name} />;
    default:
      return <OverviewPage />;
  }
}

/** usePageChange names the page in the window's title, and brings the reader to its beginning. */
function usePageChange(main: preact.RefObject<HTMLElement | null>): void {
  const { page, name } = route.value;
  const first = useRef(true);
  useEffect(() => {
    document.title = `${titles[page] ?? name} · fairlead`;
    if (!first.current) {
      scrollTo(0, 0);
      main.current?.focus({ preventScroll: true });
    }
    first.current = false;
  }, [page, name, main]);
}

export function App() {
  const main = useRef<HTMLElement>(null);
  useCluster();
  useKeys();
  usePageChange(main);
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(e) => {
          e.preventDefault(); // the part after # is the page
          main.current?.focus();
        }}
      >
        To the content
      </a>
      <Header />
      <Nav />
      <main id="main" class="main" ref={main} tabIndex={-1}>
        <NotLive />
        <Boundary of={`${route.value.page} ${route.value.name}`}>
          <PageOf />
        </Boundary>
      </main>
      {searching.value && <Palette />}
      {helping.value && <Help />}
    </>
  );
}
