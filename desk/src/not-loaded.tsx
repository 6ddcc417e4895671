/** The script of a page did not come: the network is away, or a newer version was installed. */
export function NotLoaded() {
  return (
    <div class="blank">
      <h1>This page did not load</h1>
      <p class="soft">
        The server was away, or a newer version was installed. Decisions are kept in this browser.
      </p>
      <button type="button" class="primary" onClick={() => location.reload()}>
        Load it again
      </button>
    </div>
  );
}
