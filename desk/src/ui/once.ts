/** A double click is one press: what its second click would be of came there just then, and nobody has looked at it. */
export function once(act: () => void): (event: MouseEvent) => void {
  return ({ detail }) => {
    if (detail < 2) act();
  };
}
