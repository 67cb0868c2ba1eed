// What has changed, on the time of how calls fared.

import { useState } from "preact/hooks";
import { urlOf, useAnswer } from "../data/answer.ts";
import { kinds, laneOf, lanes, noteOf } from "../data/changes.ts";
import { matcher } from "../data/filter.ts";
import type { Changes } from "../data/model.ts";
import { spaced } from "../data/words.ts";
import { plural } from "../format/numbers.ts";
import { ChangeList, changeId } from "../parts/change-list.tsx";
import { Charts } from "../parts/charts.tsx";
import { names } from "../parts/cluster.ts";
import { Choice, Select, TextFilter } from "../parts/fields.tsx";
import { route, since } from "../parts/location.ts";
import { Notes, Waiting } from "../parts/notes.tsx";
import { useReady } from "../parts/ready.ts";
import { Section } from "../parts/section.tsx";
import { Timeline } from "../parts/timeline.tsx";

export function ChangesPage() {
  const q = route.value.query;
  const [picked, setPicked] = useState<string>();
  const answer = useAnswer<Changes>(
    urlOf("api/v1/changes", { since: since.value, policy: q.policy, node: q.node, kind: q.kind, limit: "1000" }),
    "changes",
    "traffic",
  );
  useReady(Boolean(answer.data || answer.error));
  const data = answer.data;
  const fits = matcher(q.q);
  const text = (data?.items ?? []).filter((c) => fits([c.kind, c.policy, c.node, noteOf(c)].filter(Boolean).join(" ")));
  const shown = q.lane ? text.filter((c) => laneOf(c.kind) === q.lane) : text;
  const counts = new Map<string, number>();
  for (const c of text) counts.set(laneOf(c.kind), (counts.get(laneOf(c.kind)) ?? 0) + 1);
  return (
    <>
      <h1>Changes</h1>
      <search class="filters" aria-label="Filters">
        <Choice
          label="About"
          name="lane"
          value={q.lane}
          options={[
            { value: "", title: "All", count: text.length },
            ...lanes.map((l) => ({ value: l.lane, title: l.title, count: counts.get(l.lane) ?? 0 })),
          ]}
        />
        <TextFilter label="Filter" name="q" value={q.q} hint="policy, node, text" now />
        <TextFilter label="Policy" name="policy" value={q.policy} offer={names.value?.policies} />
        <Select
          label="Kind"
          name="kind"
          value={q.kind}
          options={[{ value: "", title: "all" }, ...kinds.map((k) => ({ value: k, title: spaced(k) }))]}
        />
      </search>
      <Notes of={answer} />
      {!data && !answer.error && <Waiting />}
      {data && (
        <>
          <Section
            title={q.policy ? `Calls under ${q.policy}` : "All calls"}
            more={
              <span class="faint">
                {data.more ? "there are earlier changes: choose a shorter time, or filter" : plural(shown.length, "change")}
              </span>
            }
          >
            <Charts series={data.series} changes={shown} brief />
            <Timeline
              changes={shown}
              from={data.series.from}
              to={data.series.to}
              onPick={(c) => setPicked(changeId(c))}
              some={Boolean(q.kind || q.q)}
            />
          </Section>
          <Section title="List">
            <ChangeList
              changes={shown}
              most={Math.max(8, Math.floor((innerHeight - 260) / 34))}
              picked={picked}
              onPick={(c) => setPicked(changeId(c))}
            />
          </Section>
        </>
      )}
    </>
  );
}
