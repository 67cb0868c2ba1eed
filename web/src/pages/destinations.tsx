// Everything that is called; what is ill first.

import { useMemo } from "preact/hooks";
import { urlOf, useAnswer } from "../data/answer.ts";
import { matcher, parseSort } from "../data/filter.ts";
import { byDestination, type DestinationRow, failing, healthOf, Idle, Well } from "../data/flows.ts";
import type { Overview } from "../data/model.ts";
import { count, rate, ratio, retryShare, success } from "../format/numbers.ts";
import { latency } from "../format/time.ts";
import { BreakerList, useBreakers } from "../parts/breakers.tsx";
import { Choice, TextFilter } from "../parts/fields.tsx";
import { DestinationLink } from "../parts/flows.tsx";
import { linkTo, route, setQuery, since } from "../parts/location.ts";
import { Notes, Waiting } from "../parts/notes.tsx";
import { useReady } from "../parts/ready.ts";
import { Section } from "../parts/section.tsx";
import { Breaker, Success, toneOfHealth } from "../parts/status.tsx";
import { type Column, sortRows, Table } from "../parts/table.tsx";

const columns: Column<DestinationRow>[] = [
  {
    key: "destination",
    title: "Destination",
    part: 5,
    by: (d) => d.destination,
    cell: (d) => <DestinationLink name={d.destination} title={d.service ? `${d.destination} (Service ${d.service})` : d.destination} />,
  },
  { key: "protocol", title: "Protocol", width: 90, only: "wide", by: (d) => d.protocols.join(), cell: (d) => d.protocols.join(", ") },
  {
    key: "callers",
    title: "Workloads",
    width: 92,
    number: true,
    down: true,
    only: "medium",
    by: (d) => d.callers.length,
    cell: (d) => <span title={d.callers.slice(0, 12).join(", ")}>{d.callers.length}</span>,
  },
  {
    key: "success",
    small: 80,
    title: "Success",
    width: 96,
    number: true,
    by: (d) => success(d),
    cell: (d) => <Success of={d} health={healthOf(d)} />,
  },
  {
    key: "failing",
    title: "Failing/s",
    width: 84,
    number: true,
    down: true,
    only: "medium",
    by: failing,
    cell: (d) => (failing(d) > 0 ? rate(failing(d)) : <span class="faint">0</span>),
  },
  { key: "rps", small: 62, title: "Calls/s", width: 78, number: true, down: true, by: (d) => d.perSecond, cell: (d) => rate(d.perSecond) },
  {
    key: "retries",
    title: "Retries",
    width: 78,
    number: true,
    down: true,
    only: "medium",
    by: (d) => retryShare(d),
    cell: (d) => ratio(retryShare(d) ?? 0),
  },
  {
    key: "p99",
    title: "Worst P99",
    width: 90,
    number: true,
    down: true,
    only: "wide",
    by: (d) => d.p99Seconds,
    cell: (d) => latency(d.p99Seconds),
  },
  {
    key: "breaker",
    small: 90,
    title: "Breaker",
    width: 110,
    down: true,
    by: (d) => ["", "closed", "half_open", "open"].indexOf(d.breaker),
    cell: (d) => <Breaker state={d.breaker} />,
  },
];

/** The most breakers that are listed above the table. */
const listed = 12;

const trouble = (d: DestinationRow) => Math.max(0, healthOf(d) - Idle) * 1e9 + failing(d);

export function DestinationsPage() {
  const q = route.value.query;
  const answer = useAnswer<Overview>(urlOf("api/v1/overview", { since: since.value, limit: "2000" }), "traffic");
  useReady(Boolean(answer.data || answer.error));
  const all = useMemo(() => byDestination(answer.data?.flows ?? []), [answer.data]);
  const breakers = useBreakers().all ?? [];
  const sort = parseSort(q.sort, "");
  const rows = useMemo(() => {
    const fits = matcher(q.q);
    const chosen = all.filter(
      (d) =>
        fits([d.destination, d.service, ...d.protocols, ...d.policies].join(" ")) &&
        (q.state !== "open" || (d.breaker !== "" && d.breaker !== "closed")) &&
        (q.state !== "failing" || healthOf(d) > Idle),
    );
    return sort.column ? sortRows(chosen, columns, sort) : chosen.sort((a, b) => trouble(b) - trouble(a) || b.perSecond - a.perSecond);
  }, [all, q.q, q.state, q.sort]);
  const open = all.filter((d) => d.breaker !== "" && d.breaker !== "closed").length;
  return (
    <>
      <h1>Destinations</h1>
      <search class="filters" aria-label="Filters">
        <TextFilter label="Filter" name="q" value={q.q} hint="name, Service, policy, protocol" now />
        <Choice
          label="State"
          name="state"
          value={q.state}
          options={[
            { value: "", title: "All", count: all.length },
            { value: "failing", title: "Failing", count: all.filter((d) => healthOf(d) > Idle).length },
            { value: "open", title: "Breaker not closed", count: open },
          ]}
        />
      </search>
      <Notes of={answer} />
      {!answer.data && !answer.error && <Waiting />}
      {breakers.length > 0 && (
        <Section title="Not closed now" more={<span class="faint">by policy, on whatever node</span>}>
          <div class="breaker-list">
            <BreakerList of={breakers.slice(0, listed)} />
          </div>
          {breakers.length > listed && (
            <p class="faint">
              <a href={linkTo("policies", "", { state: "breaker" })}>{`${count(breakers.length - listed)} more`}</a>
            </p>
          )}
        </Section>
      )}
      {answer.data && (
        <Table
          label="Destinations"
          rows={rows}
          columns={columns}
          id={(d) => d.destination}
          sort={sort}
          onSort={(s) => setQuery({ sort: s })}
          most={Math.max(8, Math.floor((innerHeight - 240) / 34))}
          tone={(d) => (healthOf(d) === Well || healthOf(d) === Idle ? undefined : `row-${toneOfHealth(healthOf(d))}`)}
          empty={
            all.length === 0 ? "Nothing was called in this time that a policy governs or looks at." : "No destination fits the filters."
          }
        />
      )}
    </>
  );
}
