// Fields of filter bars.

import { useRef, useState } from "preact/hooks";
import { route, setQuery } from "./location.ts";

interface TextProps {
  label: string;
  name: string;
  value: string | undefined;
  /** Names that are offered. */
  offer?: readonly string[] | undefined;
  hint?: string;
  /** Takes effect with each letter, and not only with Enter or when the field is left. */
  now?: boolean;
}

const mostOffered = 200;

/** TextFilter is a filter of the open page: it stands in the address. */
export function TextFilter({ label, name, value, offer, hint, now }: TextProps) {
  const [text, setText] = useState(value ?? "");
  const known = useRef(value);
  // Where the address changes by what is written here, that is left alone: an effect would come after the next letter, and take it back.
  if (known.current !== value) {
    known.current = value;
    if (text.trim() !== (value ?? "")) setText(value ?? "");
  }
  const id = `filter-${name}`;
  const { page, name: about } = route.value;
  const set = (v: string) => {
    // a field that has the focus when its page is left says so once more
    const open = route.peek();
    if (open.page === page && open.name === about) setQuery({ [name]: v.trim() || undefined });
  };
  return (
    <span class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="search"
        value={text}
        placeholder={hint}
        autocomplete="off"
        spellcheck={false}
        {...(offer ? { list: `${id}-offer` } : {})}
        onInput={(e) => {
          setText(e.currentTarget.value);
          if (now) set(e.currentTarget.value);
          else if (e.currentTarget.value === "" || offer?.includes(e.currentTarget.value)) set(e.currentTarget.value);
        }}
        onChange={(e) => set(e.currentTarget.value)}
      />
      {offer && (
        <datalist id={`${id}-offer`}>
          {offer
            .filter((o) => o.includes(text))
            .slice(0, mostOffered)
            .map((o) => (
              <option key={o} value={o} />
            ))}
        </datalist>
      )}
    </span>
  );
}

export interface Option {
  value: string;
  title: string;
  count?: number;
}

/** Choice is a filter with a few values, all of which are shown. The first is the one without a filter. */
export function Choice({
  label,
  name,
  value,
  options,
}: {
  label: string;
  name: string;
  value: string | undefined;
  options: readonly Option[];
}) {
  const is = options.find((o) => o.value === (value ?? ""))?.value ?? options[0]?.value;
  return (
    <fieldset class="choice">
      <legend class="unseen">{label}</legend>
      {options.map((o) => (
        <label key={o.value} class={o.value === is ? "chosen" : undefined}>
          <input
            type="radio"
            class="unseen"
            name={`choice-${name}`}
            value={o.value}
            checked={o.value === is}
            onChange={() => setQuery({ [name]: o.value || undefined })}
          />
          {o.title}
          {o.count !== undefined && <small>{o.count}</small>}
        </label>
      ))}
    </fieldset>
  );
}

/** Select is a filter with more values. One that the address has and that is not offered is shown too. */
export function Select({
  label,
  name,
  value,
  options,
}: {
  label: string;
  name: string;
  value: string | undefined;
  options: readonly Option[];
}) {
  const id = `filter-${name}`;
  const is = value ?? "";
  const offered = options.some((o) => o.value === is) ? options : [...options, { value: is, title: is }];
  return (
    <span class="field">
      <label for={id}>{label}</label>
      <select id={id} value={is} onChange={(e) => setQuery({ [name]: e.currentTarget.value || undefined })}>
        {offered.map((o) => (
          <option key={o.value} value={o.value}>
            {o.title}
          </option>
        ))}
      </select>
    </span>
  );
}
