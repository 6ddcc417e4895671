/** Names and what is known under them; what is not known is left out. */
export function Facts({ facts }: { facts: readonly (readonly [name: string, value: string | null])[] }) {
  return (
    <dl class="facts small">
      {facts.map(([name, value]) => (value ? <Entry key={name} name={name} value={value} /> : null))}
    </dl>
  );
}

export function Entry({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt class="soft">{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
