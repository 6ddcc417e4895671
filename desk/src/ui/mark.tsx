/** A cloche on its tray: what leaves the pass has been looked at. */
export function Mark({ side = 28 }: { side?: number }) {
  return (
    <svg class="mark" viewBox="0 0 32 32" width={side} height={side} aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="currentColor" />
      <path
        class="mark-line"
        d="M16 8.5v-2M6.5 21.5a9.5 9.5 0 0 1 19 0zM5 25.5h22"
        fill="none"
        stroke-width="2.4"
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}
