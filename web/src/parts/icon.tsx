// Icons: strokes of one width, in the colour of the text beside them. They are never the only sign of anything.

const paths = {
  ok: "M3.5 8.5l3 3 6-7",
  warn: "M8 2.5l6 11H2zM8 6.5v3.2M8 11.4v.4",
  bad: "M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8zM5.7 5.7l4.6 4.6M10.3 5.7l-4.6 4.6",
  idle: "M4 8h8",
  unknown: "M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8zM6.3 6.2A1.8 1.8 0 118 8.4v1M8 11.3v.3",
  open: "M1.5 8H5M11 8h3.5M5 8l5-4.5",
  half: "M1.5 8H5M11 8h3.5M5 8l5.6-2",
  closed: "M1.5 8h13M5 6.6v2.8M11 6.6v2.8",
  retry: "M13 8a5 5 0 11-1.6-3.7M13.2 2v3h-3",
  search: "M7 2.2a4.8 4.8 0 100 9.6 4.8 4.8 0 000-9.6zM10.6 10.6L14 14",
  overview: "M2 3.5h4v3H2zM10 2h4v3h-4zM10 9h4v3h-4zM6 5h2.5v-1.5H10M8.5 5v5.5H10",
  policies: "M3.5 1.8h6l3 3v9.4h-9zM9.5 1.8v3h3M5.5 8h5M5.5 11h5",
  destinations: "M8 14s4.8-4.5 4.8-7.8a4.8 4.8 0 10-9.6 0C3.2 9.5 8 14 8 14zM8 4.6a1.7 1.7 0 100 3.4 1.7 1.7 0 000-3.4z",
  calls: "M1.5 8h2.6l2-4.5 3.2 9 2-4.5h3.2",
  changes: "M8 3.8V8l2.8 1.8M2.2 8a5.8 5.8 0 105.8-5.8c-2 0-3.7 1-4.8 2.5M2.8 1.9v2.9h2.9",
  problems: "M8 2.5l6 11H2zM8 6.5v3.2M8 11.4v.4",
  nodes: "M2 2.8h12v4H2zM2 9.2h12v4H2zM4.4 4.8h.6M4.4 11.2h.6",
  sun: "M8 5.2a2.8 2.8 0 100 5.6 2.8 2.8 0 000-5.6zM8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3 3l1.2 1.2M11.8 11.8L13 13M3 13l1.2-1.2M11.8 4.2L13 3",
  moon: "M13.2 9.6A5.6 5.6 0 016.4 2.8a5.6 5.6 0 106.8 6.8z",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3l7.5 5L5 13z",
  next: "M6 3.5L10.5 8 6 12.5",
  close: "M4 4l8 8M12 4l-8 8",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  link: "M6.5 9.5l3-3M7 4.5l1.3-1.3a3 3 0 014.4 4.4L11.3 9M9 11.5l-1.3 1.3a3 3 0 01-4.4-4.4L4.7 7",
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}
