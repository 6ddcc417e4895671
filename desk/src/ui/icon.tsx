/** Line drawings of 20 by 20; each stands beside a word, or in a button that has a name. */
const PATHS = {
  bell: "M10 4.5V3M3.5 13.5a6.5 6.5 0 0 1 13 0zM2.5 16.5h15",
  check: "M4 10.5l4 4 8-9",
  cross: "M5 5l10 10M15 5L5 15",
  eye: "M1.5 10S4.5 4.5 10 4.5 18.5 10 18.5 10 15.5 15.5 10 15.5 1.5 10 1.5 10zM10 7.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5z",
  grow: "M3 7.5V3h4.5M12.5 3H17v4.5M17 12.5V17h-4.5M7.5 17H3v-4.5",
  hide: "M3 3l14 14M8.3 4.7A8 8 0 0 1 10 4.5c5.5 0 8.5 5.5 8.5 5.5a15 15 0 0 1-2.3 3M13.7 14.6A8 8 0 0 1 10 15.5C4.5 15.5 1.5 10 1.5 10a15 15 0 0 1 3.7-4.3",
  heat: "M10 2.5c.5 3 4.5 4.8 4.5 9a4.5 4.5 0 0 1-9 0c0-1.8.9-3 1.8-3.9.2 1.2.8 1.9 1.5 2.1-.3-2.7.2-5.4 1.2-7.2z",
  undo: "M7.5 4L3.5 8l4 4M3.5 8h8a5 5 0 0 1 0 10H8",
  person: "M10 3a3.2 3.2 0 1 1 0 6.4A3.2 3.2 0 0 1 10 3zM3.5 17a6.5 6.5 0 0 1 13 0",
  menu: "M3 6h14M3 10h14M3 14h14",
  offline:
    "M3 3l14 14M2.5 8.5a11 11 0 0 1 3.7-2.3M17.5 8.5A11 11 0 0 0 9 5.6M5.3 11.5a7 7 0 0 1 3.2-1.8M14.7 11.5a7 7 0 0 0-1.7-1.2M10 15.5h.01",
  warn: "M10 3L1.8 17h16.4zM10 8v4.5M10 14.8v.01",
} as const;

type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="glyph" viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
      <path
        d={PATHS[name]}
        fill="none"
        stroke="currentColor"
        stroke-width="1.6"
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}
